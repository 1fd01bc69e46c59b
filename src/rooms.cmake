# The rooms, lowest first; arrows point down only.
pinfold_room(base)
pinfold_room(config DEPS base LIBS yaml-cpp)
pinfold_room(eviction DEPS base)
pinfold_room(resp DEPS base)
pinfold_room(store DEPS eviction base)
pinfold_room(command DEPS store resp config base)
pinfold_room(net DEPS command resp LIBS Boost::headers spdlog::spdlog)
pinfold_room(server DEPS net command store config LIBS spdlog::spdlog)

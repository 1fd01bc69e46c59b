#pragma once
// Headers of the standard library that most files of the rooms include, precompiled once a preset (CMakeLists.txt). Files still
// include what they use: the fuzz preset compiles the rooms without this.

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

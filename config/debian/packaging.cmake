# What `cmake --install` and the Debian package (scripts/package) put where. Read by CMakeLists.txt.

include(GNUInstallDirs)
# Installing builds nothing: scripts/package has built the server, and the tests are no part of it.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

install(TARGETS pinfold-server RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# The unit as it is in config/, with the place of the packaged server, and without how to install it by hand.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/config/pinfold.service)
file(READ ${CMAKE_SOURCE_DIR}/config/pinfold.service unit)
string(REPLACE /usr/local/bin/ /usr/bin/ unit "${unit}")
string(REGEX REPLACE "#\n#   useradd .*\n#\n# Changes" "#\n# Changes" unit "${unit}")
file(WRITE ${CMAKE_BINARY_DIR}/package/pinfold.service "${unit}")
install(FILES ${CMAKE_BINARY_DIR}/package/pinfold.service DESTINATION /lib/systemd/system)

# Passwords may stand in it. The package's postinst lets the server's group read it.
install(FILES config/pinfold.yaml DESTINATION /etc/pinfold PERMISSIONS OWNER_READ OWNER_WRITE)

install(FILES config/roles.yaml config/seccomp.json DESTINATION ${CMAKE_INSTALL_DATADIR}/pinfold)
install(DIRECTORY config/prometheus config/grafana DESTINATION ${CMAKE_INSTALL_DATADIR}/pinfold OPTIONAL PATTERN tests EXCLUDE)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN *.md PATTERN *.svg PATTERN *.png)
install(FILES config/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The changelog, which Debian wants compressed, and without the time in it, so that two builds are the same.
execute_process(COMMAND gzip -9nc ${CMAKE_SOURCE_DIR}/config/debian/changelog OUTPUT_FILE ${CMAKE_BINARY_DIR}/package/changelog.Debian.gz
                COMMAND_ERROR_IS_FATAL ANY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/config/debian/changelog)
install(FILES ${CMAKE_BINARY_DIR}/package/changelog.Debian.gz DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pinfold)
set(CPACK_PACKAGE_VENDOR Pinfold)
set(CPACK_PACKAGE_CONTACT "Pinfold's developers <pinfold@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "cache server that speaks the Redis protocol")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Pinfold holds the results of a database in memory. A missing value is loaded
once while others wait for it (leases), stale values are served while one
client refreshes them, and a value that was read before an invalidation
cannot come back after it.
.
Nothing is written to disk: a restart starts empty.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
# The libraries that the server is linked with, by dpkg-shlibdeps.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS adduser)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(control ${CMAKE_SOURCE_DIR}/config/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${control}/conffiles;${control}/postinst;${control}/prerm;${control}/postrm")
include(CPack)

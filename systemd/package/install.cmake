# At the installation: what depends on where that is.
set(root "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")

set(program "${CMAKE_INSTALL_PREFIX}/${bin}/spillfs")
configure_file("${source}/systemd/spillfs@.service.in"
  "${root}/lib/systemd/system/spillfs@.service" @ONLY)
file(MAKE_DIRECTORY "${root}/${sbin}")
foreach(name mount.spillfs umount.spillfs umount.fuse.spillfs fsck.spillfs)
  file(CREATE_LINK "../${bin}/spillfs" "${root}/${sbin}/${name}" SYMBOLIC)
endforeach()

file(MAKE_DIRECTORY "${root}/${doc}")
file(COPY "${source}/systemd/package/deb/changelog" DESTINATION "${root}/${doc}")
file(GLOB texts "${root}/${man}/man[158]/*spillfs*.[158]" "${root}/${doc}/changelog")
foreach(text ${texts})
  execute_process(COMMAND gzip --best --no-name --force "${text}" COMMAND_ERROR_IS_FATAL ANY)
endforeach()
if(EXISTS "${root}/${man}/man8/mount.spillfs.8.gz")
  file(CREATE_LINK mount.spillfs.8.gz "${root}/${man}/man8/umount.spillfs.8.gz" SYMBOLIC)
endif()

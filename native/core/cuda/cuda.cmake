# The CUDA library, where there is a libtorch with CUDA and CUDA's headers; compiled with the ordinary C++ compiler.
#   LIBTORCH   folder with lib/ and include/
#   CUDA_HOME  folder with CUDA's include/ and lib64/ or lib/; else the environment's, else what pip puts beside torch,
#              else /usr/local/cuda or /usr/local/cuda-*: the first of the major version that the libtorch is for
# find_package(Torch) is not used: on a libtorch with CUDA it demands a whole toolkit.

# Sets ELECTRA_CUDA_MAJOR, which is that of the libtorch, and ELECTRA_CUDA_RUNTIME_INCLUDE, ELECTRA_CUDA_CRT_INCLUDE and
# ELECTRA_CUDART where there are headers and libcudart of the same major; what another toolkit has would make a library
# that the libtorch never opens.
function(electra_find_cuda)
  file(STRINGS ${LIBTORCH}/lib/libc10_cuda.so NEEDED REGEX "^libcudart[^/]*\\.so\\.[0-9]+")
  string(REGEX REPLACE "^libcudart[^/]*\\.so\\.([0-9]+).*" "\\1" WANTED "${NEEDED}")
  file(GLOB PIP_CUDA LIST_DIRECTORIES true ${LIBTORCH}/../nvidia/cu* ${LIBTORCH}/../nvidia/cuda_*)
  file(GLOB TOOLKITS LIST_DIRECTORIES true /usr/local/cuda-*)
  set(PLACES "")
  foreach(PLACE ${CUDA_HOME} $ENV{CUDA_HOME} ${PIP_CUDA} /usr/local/cuda ${TOOLKITS})
    set(MAJOR ${WANTED})  # of a place with other headers alone, as pip has several
    if(EXISTS ${PLACE}/include/cuda_runtime_api.h)
      file(STRINGS ${PLACE}/include/cuda_runtime_api.h LINE REGEX "#define CUDART_VERSION +[0-9]+")
      string(REGEX REPLACE ".*CUDART_VERSION +([0-9]+)[0-9][0-9][0-9].*" "\\1" MAJOR "${LINE}")
    endif()
    if(MAJOR STREQUAL WANTED)
      list(APPEND PLACES ${PLACE})
    endif()
  endforeach()
  # The headers are in several packages of pip's; crt/ is in one that torch does not bring along.
  find_path(ELECTRA_CUDA_RUNTIME_INCLUDE cuda_runtime_api.h NO_DEFAULT_PATH HINTS ${PLACES} PATH_SUFFIXES include)
  find_path(ELECTRA_CUDA_CRT_INCLUDE crt/host_config.h NO_DEFAULT_PATH HINTS ${PLACES} PATH_SUFFIXES include)
  find_file(ELECTRA_CUDART NAMES libcudart.so.${WANTED} libcudart.so NO_DEFAULT_PATH HINTS ${PLACES}
            PATH_SUFFIXES lib64 lib)
  set(ELECTRA_CUDA_MAJOR ${WANTED} PARENT_SCOPE)
endfunction()

# `native`: the folder of the sources.
function(electra_add_cuda_library native minor)
  if(NOT EXISTS ${LIBTORCH}/lib/libc10_cuda.so)
    return()
  endif()
  electra_find_cuda()
  if(NOT (ELECTRA_CUDA_RUNTIME_INCLUDE AND ELECTRA_CUDA_CRT_INCLUDE AND ELECTRA_CUDART))
    message(WARNING "This libtorch has CUDA, but no headers of CUDA ${ELECTRA_CUDA_MAJOR} were found "
                    "(cuda_runtime_api.h and crt/host_config.h) beside its libcudart, so the CUDA library is left out; set "
                    "CUDA_HOME.")
    return()
  endif()
  message(STATUS "CUDA library for libtorch ${minor} and CUDA ${ELECTRA_CUDA_MAJOR}: ${ELECTRA_CUDA_RUNTIME_INCLUDE}")
  file(GLOB CUDA_SOURCES CONFIGURE_DEPENDS ${native}/core/cuda/*.cpp)
  add_library(electra_cuda MODULE ${CUDA_SOURCES} ${native}/core/attention.cpp ${native}/platform.cpp)
  set_target_properties(electra_cuda PROPERTIES OUTPUT_NAME electra_cuda-${minor}-cu${ELECTRA_CUDA_MAJOR})
  target_include_directories(electra_cuda PRIVATE ${native})
  target_include_directories(electra_cuda SYSTEM PRIVATE ${LIBTORCH}/include ${ELECTRA_CUDA_RUNTIME_INCLUDE}
                             ${ELECTRA_CUDA_CRT_INCLUDE})
  target_link_directories(electra_cuda PRIVATE ${LIBTORCH}/lib)
  # By SONAME and without RPATH, as the core: the libtorch that is open has brought them all.
  target_link_libraries(electra_cuda PRIVATE torch_cuda torch_cpu c10_cuda c10 ${ELECTRA_CUDART} Threads::Threads
                        ${CMAKE_DL_LIBS})
  # What those libraries need in turn is not asked for here.
  target_link_options(electra_cuda PRIVATE -Wl,--allow-shlib-undefined -Wl,-z,nodelete -Wl,-z,defs)
endfunction()

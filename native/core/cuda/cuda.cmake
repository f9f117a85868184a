# The CUDA library, where there is a libtorch with CUDA and CUDA's headers; compiled with the ordinary C++ compiler.
#   LIBTORCH   folder with lib/ and include/
#   CUDA_HOME  folder with CUDA's include/ and lib64/ or lib/; else the environment's, else what pip puts beside torch,
#              else /usr/local/cuda
# find_package(Torch) is not used: on a libtorch with CUDA it demands a whole toolkit.

# Sets ELECTRA_CUDA_INCLUDE, ELECTRA_CUDART and ELECTRA_CUDA_MAJOR, or leaves them empty.
function(electra_find_cuda)
  file(GLOB PIP_CUDA LIST_DIRECTORIES true ${LIBTORCH}/../nvidia/cu* ${LIBTORCH}/../nvidia/cuda_runtime)
  # The headers are in several packages of pip's; crt/ is in one that torch does not bring along.
  find_path(ELECTRA_CUDA_RUNTIME_INCLUDE cuda_runtime_api.h NO_DEFAULT_PATH
            HINTS ${CUDA_HOME} $ENV{CUDA_HOME} ${PIP_CUDA} /usr/local/cuda PATH_SUFFIXES include)
  find_path(ELECTRA_CUDA_CRT_INCLUDE crt/host_config.h NO_DEFAULT_PATH
            HINTS ${CUDA_HOME} $ENV{CUDA_HOME} ${PIP_CUDA} /usr/local/cuda PATH_SUFFIXES include)
  find_file(ELECTRA_CUDART NAMES libcudart.so libcudart.so.13 libcudart.so.12 NO_DEFAULT_PATH
            HINTS ${CUDA_HOME} $ENV{CUDA_HOME} ${PIP_CUDA} /usr/local/cuda PATH_SUFFIXES lib64 lib)
  set(MAJOR "")
  if(ELECTRA_CUDA_RUNTIME_INCLUDE AND ELECTRA_CUDA_CRT_INCLUDE AND ELECTRA_CUDART)
    file(STRINGS ${ELECTRA_CUDA_RUNTIME_INCLUDE}/cuda_runtime_api.h VERSION_LINE REGEX "#define CUDART_VERSION +[0-9]+")
    string(REGEX REPLACE ".*CUDART_VERSION +([0-9]+)[0-9][0-9][0-9].*" "\\1" MAJOR "${VERSION_LINE}")
  endif()
  set(ELECTRA_CUDA_MAJOR "${MAJOR}" PARENT_SCOPE)
endfunction()

# `native`: the folder of the sources.
function(electra_add_cuda_library native minor)
  if(NOT EXISTS ${LIBTORCH}/lib/libc10_cuda.so)
    return()
  endif()
  electra_find_cuda()
  if(NOT ELECTRA_CUDA_MAJOR)
    message(WARNING "This libtorch has CUDA, but no CUDA headers were found (cuda_runtime_api.h and crt/host_config.h) "
                    "beside libcudart, so the CUDA library is left out; set CUDA_HOME.")
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

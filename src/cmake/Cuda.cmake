# nvcc, for our own kernels in src/nn/kernels/*.cu. They go into a library of their own, libtaskgalaxy_kernels_cuda.so,
# which the program opens at run time where there is a GPU: nothing else is compiled or linked otherwise with or without
# it.
set(TASKGALAXY_CUDA_KERNELS AUTO CACHE STRING "Build our own GPU kernels: ON, OFF, or AUTO: where nvcc is found")
set_property(CACHE TASKGALAXY_CUDA_KERNELS PROPERTY STRINGS AUTO ON OFF)
set(TG_CUDA_KERNELS OFF)
if(TASKGALAXY_CUDA_KERNELS)
  # Newer GPUs take 90's PTX.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90 CACHE STRING "GPUs that the kernels are compiled for")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 17)  # CMake 3.25 knows no 20 of nvcc
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(TG_CUDA_KERNELS ON)
  elseif(NOT TASKGALAXY_CUDA_KERNELS STREQUAL AUTO)
    message(FATAL_ERROR "TASKGALAXY_CUDA_KERNELS = ${TASKGALAXY_CUDA_KERNELS}, but there is no nvcc; "
      "put it on the PATH or set CUDACXX")
  endif()
endif()
message(STATUS "our own GPU kernels: ${TG_CUDA_KERNELS}")

# One static library a room. tg_room(NAME SOURCES a.cpp ... USES tg_x lib ... [TORCH]) makes tg_NAME from src/NAME with public
# headers under include/taskgalaxy/NAME; private headers beside the sources are seen by this room alone.
add_library(tg_options INTERFACE)
target_compile_options(tg_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers)

function(tg_room name)
  cmake_parse_arguments(ROOM "TORCH" "" "SOURCES;USES" ${ARGN})
  set(target tg_${name})
  add_library(${target} STATIC ${ROOM_SOURCES})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${target} PUBLIC ${ROOM_USES} PRIVATE tg_options)
  if(ROOM_TORCH)
    target_link_libraries(${target} PUBLIC taskgalaxy::torch)
    tg_torch_header(${target})
  endif()
endfunction()

# The torch header costs 15-20 s a file: parse it once. Rooms and tests share one precompiled header (same options, same standard).
function(tg_torch_header target)
  if(NOT TARGET tg_torch_header)
    file(WRITE ${CMAKE_BINARY_DIR}/torch_header.cpp "// carries the precompiled torch header\n")
    add_library(tg_torch_header STATIC ${CMAKE_BINARY_DIR}/torch_header.cpp)
    target_link_libraries(tg_torch_header PUBLIC taskgalaxy::torch PRIVATE tg_options)
    target_precompile_headers(tg_torch_header PRIVATE <torch/torch.h>)
  endif()
  # Executables are compiled with -fPIE by default, which refuses a header compiled with -fPIC.
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM tg_torch_header)
endfunction()

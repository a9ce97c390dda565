# add_kernels(target): compiles the kernels into the target, with the flags every build of them
# shares. The extension uses it, and the native programs of tests/native, which need no Python.
option(HAMMING_WERROR "Treat warnings as errors" OFF)
option(HAMMING_COVERAGE "Count executed lines" OFF)
set(HAMMING_SANITIZE "" CACHE STRING "Sanitizers for the kernels, e.g. address,undefined")
set(HAMMING_CPU_DIR ${CMAKE_CURRENT_LIST_DIR})
find_package(Threads REQUIRED)

function(add_kernels target)
  set(cpu ${HAMMING_CPU_DIR})
  target_sources(${target} PRIVATE
    ${cpu}/dispatch.cpp ${cpu}/parallel.cpp ${cpu}/plan.cpp
    ${cpu}/topk.cpp ${cpu}/radius.cpp ${cpu}/rows.cpp ${cpu}/rescore.cpp
    ${cpu}/isa_scalar.cpp)
  # Tiles and queries are read as words of more than one width.
  target_compile_options(${target} PRIVATE
    -O3 -fvisibility=hidden -fno-strict-aliasing -Wall -Wextra -Wshadow)
  target_link_libraries(${target} PRIVATE Threads::Threads)
  if(HAMMING_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(HAMMING_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic -O1)
    target_link_options(${target} PRIVATE --coverage)
  endif()
  if(HAMMING_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${HAMMING_SANITIZE} -fno-omit-frame-pointer -g)
    target_link_options(${target} PRIVATE -fsanitize=${HAMMING_SANITIZE})
  endif()

  # Each instruction set is one file with flags of its own; nothing else may use them (no -march=native).
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    target_sources(${target} PRIVATE ${cpu}/isa_avx2.cpp ${cpu}/isa_avx512.cpp)
    target_compile_definitions(${target} PRIVATE HAMMING_HAVE_X86)
    set_source_files_properties(${cpu}/isa_scalar.cpp PROPERTIES COMPILE_OPTIONS -mpopcnt)
    set_source_files_properties(${cpu}/isa_avx2.cpp PROPERTIES COMPILE_OPTIONS "-mavx2;-mpopcnt")
    set(avx512 -mavx512f -mavx512vl -mavx512bw -mavx512dq -mavx512vpopcntdq -mpopcnt
      -mprefer-vector-width=512
      -Wno-uninitialized -Wno-maybe-uninitialized)  # gcc 12 warns of its own intrinsics
    set_source_files_properties(${cpu}/isa_avx512.cpp PROPERTIES COMPILE_OPTIONS "${avx512}")
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    target_sources(${target} PRIVATE ${cpu}/isa_neon.cpp)
    target_compile_definitions(${target} PRIVATE HAMMING_HAVE_NEON)
    set_source_files_properties(${cpu}/isa_neon.cpp PROPERTIES COMPILE_OPTIONS -march=armv8-a)
  endif()
endfunction()

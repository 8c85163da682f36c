# Passes when `source` is refused by the compiler with the message its first line names.
file(STRINGS ${source} first LIMIT_COUNT 1)
if(NOT first MATCHES "^// expect: (.+)$")
  message(FATAL_ERROR "${source}: the first line must be \"// expect: <regular expression of the message>\"")
endif()
set(expected "${CMAKE_MATCH_1}")
execute_process(COMMAND ${compiler} -std=c++23 -Wall -Wextra -Werror -fsyntax-only -I${root}/include -I${root}/src ${source}
                RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(code EQUAL 0)
  message(FATAL_ERROR "${source} compiles, but must not")
elseif(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "${source} is refused, but not with \"${expected}\":\n${output}")
endif()

# Who reads command lines and writes reports works once a run, and drags the most templates along.
file(GLOB seldom CONFIGURE_DEPENDS ${folder}/*/command.cpp ${folder}/story/*.cpp)
list(APPEND seldom ${folder}/load/report.cpp ${folder}/orders/ledger.cpp ${folder}/orders/service_watch.cpp)
levity_seldom_runs(${seldom})

# A consumer that knows only pkg-config: `make -f consumer.mk SOURCE=. STATIC=--static` for a static library. Where there is a shared
# one beside it, a linker prefers that: ARCHIVE=yes names the archive.
CXX ?= g++
FLAGS = pkg-config --cflags --libs $(STATIC) levity $(if $(ARCHIVE),| sed 's/-llevity/-l:liblevity.a/')
hello: $(SOURCE)/hello.cpp
	$(CXX) -std=c++23 -O1 $< -o $@ $$($(FLAGS))

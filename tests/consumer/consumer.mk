# A consumer that knows only pkg-config: `make -f consumer.mk SOURCE=. STATIC=--static` for a static library.
CXX ?= g++
hello: $(SOURCE)/hello.cpp
	$(CXX) -std=c++23 -O1 $< -o $@ $$(pkg-config --cflags --libs $(STATIC) levity)

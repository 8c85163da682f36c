// node_pages_go - what bench/subjects/node_pages.cpp does, in Go: goroutines that take blocks of the same sizes in the same order, and
// how much of them lies on another node than the CPU that they run on, as the kernel says at that moment.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	getcpu    = 309 // of x86_64
	movePages = 279
)

type tally struct{ bytes, elsewhere atomic.Uint64 }

func (t *tally) add(size int, at *byte) {
	var cpu, here uint32
	var node int32 = -1
	page := uintptr(unsafe.Pointer(at)) &^ 4095
	_, _, wrong := syscall.RawSyscall(getcpu, uintptr(unsafe.Pointer(&cpu)), uintptr(unsafe.Pointer(&here)), 0)
	// A page that the kernel is just moving is nowhere; who touches it waits until it has arrived.
	for tries := 0; tries < 100 && wrong == 0 && node < 0; tries++ {
		*at = 1
		_, _, wrong = syscall.RawSyscall6(movePages, 0, 1, uintptr(unsafe.Pointer(&page)), 0, uintptr(unsafe.Pointer(&node)), 0)
	}
	if wrong != 0 || node < 0 {
		fmt.Fprintln(os.Stderr, "node_pages_go: the kernel does not say where a page is")
		os.Exit(1)
	}
	t.bytes.Add(uint64(size))
	if uint32(node) != here {
		t.elsewhere.Add(uint64(size))
	}
}

// The blocks of those below stay while this one does, as frames do.
func frames(t *tally, size, depth int) {
	block := make([]byte, size)
	block[size-1] = 1
	t.add(size, &block[size-1])
	if depth > 0 {
		frames(t, size, depth-1)
	}
	if block[size-1] != 1 {
		os.Exit(1)
	}
}

func meet(count *atomic.Int32, workers int) {
	count.Add(1)
	for int(count.Load()) < workers {
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

func takes(t *tally, here, done *atomic.Int32, workers int) {
	meet(here, workers)
	for round := 0; round < 3; round++ {
		frames(t, 40, 200)
		frames(t, 200, 200)
		frames(t, 600, 200)
		frames(t, 3000, 50)
		var buffers [20][]byte
		for i := range buffers {
			buffers[i] = make([]byte, 16*1024)
			for at := range buffers[i] {
				buffers[i][at] = 1
			}
			t.add(len(buffers[i]), &buffers[i][0])
		}
		runtime.KeepAlive(&buffers)
	}
	meet(done, workers)
}

func takeOnEach(t *tally, workers int) {
	var here, done atomic.Int32
	var all sync.WaitGroup
	for i := 0; i < workers; i++ {
		all.Add(1)
		go func() {
			takes(t, &here, &done, workers)
			all.Done()
		}()
	}
	all.Wait()
}

func crowd(depth int) {
	if depth == 0 {
		runtime.Gosched()
		runtime.Gosched()
		return
	}
	var children sync.WaitGroup
	for i := 0; i < 8; i++ {
		children.Add(1)
		go func() {
			crowd(depth - 1)
			children.Done()
		}()
	}
	children.Wait()
}

func main() {
	var fresh, later tally
	workers := runtime.GOMAXPROCS(0)
	takeOnEach(&fresh, workers)
	crowd(4)
	takeOnEach(&later, workers)
	fmt.Printf("{\"fresh\": {\"bytes\": %d, \"elsewhere\": %d}, \"later\": {\"bytes\": %d, \"elsewhere\": %d}}\n",
		fresh.bytes.Load(), fresh.elsewhere.Load(), later.bytes.Load(), later.elsewhere.Load())
}

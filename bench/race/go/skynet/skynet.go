// skynet WORKERS SIZE - a tree of goroutines with ten children each down to SIZE leaves, a power of ten; adds up their numbers.
package main

import "levity_race/race"

func node(number, size uint64, into chan<- uint64) {
	if size == 1 {
		into <- number
		return
	}
	below := make(chan uint64, 10)
	for i := range uint64(10) {
		go node(number+i*(size/10), size/10, below)
	}
	var sum uint64
	for range 10 {
		sum += <-below
	}
	into <- sum
}

func tree(size uint64) uint64 {
	result := make(chan uint64)
	go node(0, size, result)
	return <-result
}

func main() {
	race.Workers()
	size := race.Argument(2)
	tree(size / 10)
	watch := race.Start()
	sum := tree(size)
	watch.Print(size, sum, "")
}

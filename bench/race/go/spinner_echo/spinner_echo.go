// spinner_echo PORT COUNT - the echo service, and from SIGUSR1 on so many goroutines that compute for a second at a time: the
// program of the row steady/one_spinner_peers of the bench.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"levity_race/race"
)

func echo(peer net.Conn) {
	defer peer.Close()
	data := make([]byte, 4096)
	for {
		size, err := peer.Read(data)
		if err != nil {
			return
		}
		if _, err := peer.Write(data[:size]); err != nil {
			return
		}
	}
}

func spin() {
	for {
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
		}
		runtime.Gosched()
	}
}

func main() {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", race.Argument(1)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	go func() {
		<-told
		for i := 0; i < int(race.Argument(2)); i++ {
			go spin()
		}
	}()
	for {
		peer, err := listener.Accept()
		if err != nil {
			return
		}
		go echo(peer)
	}
}

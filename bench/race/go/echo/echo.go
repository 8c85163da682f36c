// echo PORT - the echo service, with as many threads as there are CPUs.
package main

import (
	"fmt"
	"net"
	"os"

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

func main() {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", race.Argument(1)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		peer, err := listener.Accept()
		if err != nil {
			return
		}
		go echo(peer)
	}
}

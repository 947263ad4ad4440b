// A server whose accepting goroutine waits for a lock for ever, or with an argument has ended, beside a health
// port that answers. Prints `ready`, and where it listens.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

var sessions, config sync.Mutex
var hasSessions, hasConfig = make(chan int), make(chan int)

func main() {
	service, health := listen(), listen()
	work := make(chan int)
	for n := 0; n < 200; n++ {
		go worker(work)
	}
	go healthLoop(health)
	if len(os.Args) > 1 {
		// An error of Accept that is taken for fatal.
		service.SetDeadline(time.Unix(1, 0))
		acceptLoop(service)
	} else {
		go reload()
		go acceptLoop(service)
		go spin()
	}
	client, err := net.Dial("tcp", service.Addr().String())
	if err != nil {
		panic(err)
	}
	defer client.Close()
	fmt.Println("ready")
	fmt.Println(service.Addr())
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}

func listen() *net.TCPListener {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		panic(err)
	}
	return listener
}

//go:noinline
func worker(work chan int) {
	<-work
}

func healthLoop(listener *net.TCPListener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		connection.Close()
	}
}

func acceptLoop(listener *net.TCPListener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		registerSession(connection)
	}
}

//go:noinline
func registerSession(connection net.Conn) {
	sessions.Lock()
	defer sessions.Unlock()
	close(hasSessions)
	<-hasConfig
	config.Lock()
	connection.Close()
}

//go:noinline
func reload() {
	config.Lock()
	close(hasConfig)
	<-hasSessions
	sessions.Lock()
}

//go:noinline
func spin() {
	for n := 0; ; n++ {
		if n < 0 {
			return
		}
	}
}

// Command story plays the demo: a service is created with nothing but labels, and
// everything else follows by itself. Each step says what it did and when, checks
// what came of it, and ends the story if it is not as promised.
//
// It calls the docker command as a user would, and looks at Waggle from outside.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := &story{out: os.Stdout, began: time.Now()}
	flag.StringVar(&s.host, "host", "127.0.0.1", "address of the node that serves")
	flag.StringVar(&s.port, "port", "80", "port of the proxy")
	flag.StringVar(&s.image, "image", "waggle/demo:dev", "image of the demo application")
	flag.StringVar(&s.waggle, "waggle", "compose/waggle.sh", "command that runs waggle")
	flag.StringVar(&s.shots, "shots", "", "folder for screenshots of the console, where there is a Chromium")
	flag.Parse()
	if err := s.tell(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nstory: %v\n", err)
		os.Exit(1)
	}
}

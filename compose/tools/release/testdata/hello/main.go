// Command hello is a program for the tests of releases.
package main

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

var version = "dev"

func main() { fmt.Println("hello", version, digest.SHA256) }

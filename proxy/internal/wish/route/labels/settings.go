package labels

import (
	"maps"
	"slices"
	"strings"

	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/pkg/label"
)

// DefaultDomainAlgo is the one of services that do not choose: exact hosts.
const DefaultDomainAlgo = "hdr(host)"

// DefaultInstance names a proxy, and the one that a service is for, unless they say so.
const DefaultInstance = "docker-flow"

// MediaType checks an element of the operator's compression-type.
func MediaType(text string) bool { return mediaType.MatchString(text) }

// compressionAlgos are the words of compressionAlgo.
func compressionAlgos() []string { return []string{"gzip", "deflate", "raw-deflate", "identity"} }

// CompressionAlgo checks the operator's default for compressionAlgo.
func CompressionAlgo(word string) bool { return slices.Contains(compressionAlgos(), word) }

// connectionModes are the words of connectionMode.
func connectionModes() []string { return []string{"http-keep-alive", "http-server-close", "httpclose"} }

// ConnectionMode checks the operator's default for connectionMode.
func ConnectionMode(word string) bool { return slices.Contains(connectionModes(), word) }

// reqModes are the words of reqMode.
func reqModes() []string { return []string{modeHTTP, modeTCP, modeSNI} }

// ReqMode reports whether a text is a value of reqMode.
func ReqMode(text string) bool { return slices.Contains(reqModes(), text) }

// withReqMode gives labels that do not say it the operator's reqMode, if they ask for
// a route at all: a service may have labels for others alone.
func withReqMode(labels map[string]string, o Options) map[string]string {
	const key = catalog.Prefix + "reqMode"
	if _, ok := labels[key]; ok || o.ReqMode == "" || o.ReqMode == modeHTTP || !asksForRoute(labels) {
		return labels
	}
	out := maps.Clone(labels)
	out[key] = o.ReqMode
	return out
}

func asksForRoute(labels map[string]string) bool {
	for name := range labels {
		switch base, _ := label.SplitIndex(strings.TrimPrefix(name, catalog.Prefix)); base {
		case "srcPort", "servicePath", "serviceDomain":
			return true
		}
	}
	return false
}

package route

// DefaultDomainAlgo is the one of services that do not choose: exact hosts.
const DefaultDomainAlgo = "hdr(host)"

// MediaType checks an element of the operator's compression-type.
func MediaType(text string) bool { return mediaType.MatchString(text) }

// CompressionAlgo checks the operator's default for compressionAlgo.
func CompressionAlgo(word string) bool {
	switch word {
	case "gzip", "deflate", "raw-deflate", "identity":
		return true
	}
	return false
}

// ConnectionMode checks the operator's default for connectionMode.
func ConnectionMode(word string) bool {
	switch word {
	case "http-keep-alive", "http-server-close", "httpclose":
		return true
	}
	return false
}

package file_test

import (
	"slices"
	"testing"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

func TestWarningsDependOnTheConfigurationAlone(t *testing.T) {
	const other = "[WARNING]  (7) : config : parsing [/x:9] : a 'http-request' rule placed after a 'use_backend' rule will still be processed before."
	output := "[NOTICE]   (7) : haproxy version is 3.4.7\n" +
		"[WARNING]  (7) : config : parsing [/x:3]: the hash algorithm used for this password takes 11 milliseconds to verify, which can have devastating performance and stability impacts.\n" +
		other + "\nWarnings were found.\n"
	if got := file.Warnings(output); !slices.Equal(got, []string{other}) {
		t.Errorf("got %q", got)
	}
}

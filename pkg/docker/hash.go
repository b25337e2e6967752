package docker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/docker/docker/api/types/swarm"
)

// hash returns a short hash of a specification without the labels of the service, which
// are published as they are, and without the number of replicas. ForceUpdate
// counts: it is how one and the same image is rolled out again, and nobody who only
// changes the number sets it.
func hash(spec swarm.ServiceSpec, key []byte) string {
	spec.Labels = nil
	switch {
	case spec.Mode.Replicated != nil:
		spec.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{}}
	case spec.Mode.ReplicatedJob != nil:
		spec.Mode = swarm.ServiceMode{ReplicatedJob: &swarm.ReplicatedJob{}}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return "" // it came from JSON, so this cannot be
	}
	return mark(text, key)
}

// mark is a short hash that depends on the key, if there is one.
func mark(text, key []byte) string {
	if len(key) == 0 {
		sum := sha256.Sum256(text)
		return hex.EncodeToString(sum[:8])
	}
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(text)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

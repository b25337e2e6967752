package notify

import (
	"maps"
	"slices"
)

// Told is what a receiver was told under one name, as it is kept on the bus.
type Told struct {
	Name string `json:"name"`
	// Remove are the parameters by which it is taken back: those of the labels that were
	// sent last, whether that was acknowledged or not.
	Remove map[string]string `json:"remove"`
	// Base is the hash of the create that was sent last, without nodeInfo.
	Base string `json:"base,omitempty"`
	// Acked are hashes of the creates that were acknowledged last, by URL. There is none
	// while it is not known what the receiver has taken in.
	Acked map[string]string `json:"acked,omitempty"`
	// Gone are the URLs that acknowledged the remove.
	Gone []string `json:"gone,omitempty"`
}

// Step is one thing to do about a name.
type Step struct {
	Kind Kind
	// Name is the one that it is about.
	Name string
	// IsRemove says that it is told that the name has gone.
	IsRemove bool
	// URL and Parameters are those of the request; there is none if URL is nil.
	URL        *URL
	Parameters map[string]string
	// Before is what must be on the bus before it is sent, nil to leave that as it is. After is
	// what is there when it was acknowledged, nil if nothing is.
	Before, After *Told
	// hash tells it from another message to the same URL.
	hash string
}

// Due returns what is due to a receiver about one name: present is what there is to
// tell of it, told what the receiver was told, and either is nil if there is nothing. The
// steps stand for themselves, one for each URL; one is done at a time, and then asked again.
func Due(r Receiver, kind Kind, name string, present *Name, told *Told) []Step {
	switch {
	case present == nil && told == nil:
		return nil
	case present == nil:
		return removes(r.remove[kind], kind, *told)
	case present.Standing == Held:
		return nil
	}
	return creates(r.create[kind], kind, name, *present, told)
}

func creates(urls []URL, kind Kind, name string, present Name, told *Told) []Step {
	before := Told{Name: name, Remove: present.Remove, Base: present.base}
	if told != nil && len(told.Gone) == 0 {
		before.Acked = told.Acked
	}
	if len(urls) == 0 {
		// It is told of the removal alone, and the labels are noted for that.
		if told != nil && maps.Equal(told.Remove, present.Remove) && len(told.Gone) == 0 {
			return nil
		}
		return []Step{{Kind: kind, Name: name, After: &before, hash: present.full}}
	}
	hash, parameters := present.full, present.Parameters()
	if present.Standing == Early {
		hash, parameters = present.base, present.Create
	}
	var out []Step
	for _, u := range urls {
		acked := before.Acked[u.id]
		if acked == hash || present.Standing == Early && acked != "" && told != nil && told.Base == present.base {
			continue
		}
		out = append(out, Step{
			Kind: kind, Name: name, URL: &u, Parameters: parameters, hash: hash,
			Before: before.acked(u.id, ""), After: before.acked(u.id, hash),
		})
	}
	return out
}

// acked is a copy in which a URL has acknowledged a message, or none.
func (t Told) acked(url, hash string) *Told {
	t.Acked = maps.Clone(t.Acked)
	if t.Acked == nil {
		t.Acked = map[string]string{}
	}
	if t.Acked[url] = hash; hash == "" {
		delete(t.Acked, url)
	}
	return &t
}

// unless is what was told, without acknowledgements if all is to be told again.
func (t *Told) unless(again bool) *Told {
	if t == nil || !again {
		return t
	}
	out := *t
	out.Acked = nil
	return &out
}

func removes(urls []URL, kind Kind, told Told) []Step {
	before := Told{Name: told.Name, Remove: told.Remove, Gone: told.Gone}
	var out []Step
	for _, u := range urls {
		if slices.Contains(told.Gone, u.id) {
			continue
		}
		after := before
		after.Gone = append(slices.Clone(told.Gone), u.id)
		out = append(out, Step{
			Kind: kind, Name: told.Name, IsRemove: true, URL: &u, Parameters: told.Remove, hash: "remove", Before: &before, After: &after,
		})
	}
	switch len(out) {
	case 0: // nobody is to be told any more
		return []Step{{Kind: kind, Name: told.Name, IsRemove: true, hash: "remove"}}
	case 1:
		out[0].After = nil
	}
	return out
}

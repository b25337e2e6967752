package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What a service may bring to the bus, in bytes.
const (
	// MaxValue bounds one service, the texts that are withheld included.
	MaxValue = 64 << 10
	// MaxTasks bounds the list of one service's tasks.
	MaxTasks = 256 << 10
	// MaxAll bounds all services together.
	MaxAll = 32 << 20
)

// TooLargeError says that something of a service is not on the bus, because it is too large.
type TooLargeError struct {
	Service string
	// Bytes is how much it would take.
	Bytes int
	// Others is set if the service alone would not be too large, but all together are.
	Others bool
	// Tasks is how many tasks there are, if it is they that are too many, and Kept
	// how many of them are on the bus.
	Tasks, Kept int
}

// Error names the service, both sizes, and what was left out.
func (e *TooLargeError) Error() string {
	switch {
	case e.Tasks > 0:
		return fmt.Sprintf("service %s: its %d tasks take %d bytes, at most %d are allowed: %d of them are told", e.Service, e.Tasks, e.Bytes, MaxTasks, e.Kept)
	case e.Others:
		return fmt.Sprintf("service %s: its labels take %d bytes, and those of all services together are more than the %d that are allowed", e.Service, e.Bytes, MaxAll)
	}
	return fmt.Sprintf("service %s: its labels take %d bytes, at most %d are allowed", e.Service, e.Bytes, MaxValue)
}

// EncodeAll returns the entries of a snapshot, and by name of what was left out:
//   - A service that is larger than MaxValue has no labels but com.df.notify, and says in
//     Oversize how large it would be.
//   - If all services together are larger than MaxAll, the largest are treated likewise.
//   - Of tasks that take more than MaxTasks, as many are listed as fit.
func EncodeAll(s Snapshot) (Entries, []*TooLargeError, error) { return EncodeApart(s, nil, nil) }

// EncodeApart is EncodeAll with the texts of secret labels in entries of their own (see
// Split), whose keys are those of SecretKey. Without isSecret, nothing is withheld.
func EncodeApart(s Snapshot, isSecret func(label string) bool, mark func(text string) string) (Entries, []*TooLargeError, error) {
	e := encoder{out: make(Entries, len(s.Services)+len(s.Nodes)+len(s.Tasks)), isSecret: isSecret, mark: mark}
	if err := e.services(s.Services); err != nil {
		return nil, nil, err
	}
	for id, n := range s.Nodes {
		if err := e.put(NodeKey(id), n); err != nil {
			return nil, nil, err
		}
	}
	for id, tasks := range s.Tasks {
		value, kept, err := EncodeTasks(tasks)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", TasksKey(id), err)
		}
		e.out[TasksKey(id)] = value
		if kept < len(tasks) {
			e.large = append(e.large, &TooLargeError{Service: cmp.Or(s.Services[id].Name, id), Bytes: tasksBytes(tasks), Tasks: len(tasks), Kept: kept})
		}
	}
	slices.SortFunc(e.large, func(a, b *TooLargeError) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), cmp.Compare(a.Tasks, b.Tasks))
	})
	return e.out, e.large, nil
}

// encoder gathers entries.
type encoder struct {
	out      Entries
	large    []*TooLargeError
	isSecret func(label string) bool
	mark     func(text string) string
}

func (e *encoder) put(key string, v any) error {
	b, err := Encode(v)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	e.out[key] = b
	return nil
}

// services encodes all services, those that are too large without their labels.
func (e *encoder) services(all map[string]Service) error {
	type size struct {
		id    string
		bytes int
	}
	var sizes []size
	total := 0
	for id, svc := range all {
		n, err := e.service(id, svc)
		if err != nil {
			return err
		}
		if n > MaxValue {
			if err := e.strip(id, svc, &TooLargeError{Service: svc.Name, Bytes: n}); err != nil {
				return err
			}
			n = len(e.out[ServiceKey(id)])
		} else {
			sizes = append(sizes, size{id, n})
		}
		total += n
	}
	if total <= MaxAll {
		return nil
	}
	slices.SortFunc(sizes, func(a, b size) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), strings.Compare(a.id, b.id))
	})
	for _, s := range sizes {
		if total <= MaxAll {
			break
		}
		svc := all[s.id]
		if err := e.strip(s.id, svc, &TooLargeError{Service: svc.Name, Bytes: s.bytes, Others: true}); err != nil {
			return err
		}
		total -= s.bytes - len(e.out[ServiceKey(s.id)])
	}
	return nil
}

// service encodes one service whole, and returns how many bytes it takes.
func (e *encoder) service(id string, svc Service) (int, error) {
	n := 0
	if e.isSecret != nil {
		var secrets Secrets
		if svc, secrets = Split(svc, e.isSecret, e.mark); len(secrets) > 0 {
			if err := e.put(SecretKey(id), secrets); err != nil {
				return 0, err
			}
			n += len(e.out[SecretKey(id)])
		}
	}
	err := e.put(ServiceKey(id), svc)
	return n + len(e.out[ServiceKey(id)]), err
}

// strip encodes a service without what makes it large.
func (e *encoder) strip(id string, svc Service, why *TooLargeError) error {
	e.large = append(e.large, why)
	delete(e.out, SecretKey(id))
	return e.put(ServiceKey(id), Stripped(svc, why.Bytes))
}

// Stripped returns a service that is too large, with that many bytes, as it is
// published: it stays opted in if it was, and has no other label.
func Stripped(svc Service, bytes int) Service {
	optedIn := svc.OptedIn()
	svc.Labels, svc.ContainerLabels, svc.Withheld, svc.Oversize = nil, nil, nil, bytes
	if svc.Update != nil {
		update := *svc.Update
		update.Message = ""
		svc.Update = &update
	}
	if optedIn {
		svc.Labels = map[string]string{Notify: "true"}
	}
	return svc
}

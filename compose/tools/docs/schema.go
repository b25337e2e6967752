package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/wagglehq/waggle/pkg/audit"
	"github.com/wagglehq/waggle/pkg/catalog"
	"github.com/wagglehq/waggle/scaler"
)

// repository is where everything of ours is, as Go and the identifiers of schemas say it.
const repository = "github.com/wagglehq/waggle"

// schemaFolder is where the schemas lie, by the version of the encoding.
func schemaFolder() string { return fmt.Sprintf("docs/schema/v%d", catalog.Schema) }

// value is one kind of value on the bus.
type value struct {
	// name is that of its schema, title tells where it lies.
	name, title string
	of          any
}

// values are all that the contract describes.
func values() []value {
	return []value{
		{"service", "A service, in the bucket waggle_catalog under service.ID", catalog.Service{}},
		{"node", "A node, in the bucket waggle_catalog under node.ID", catalog.Node{}},
		{"tasks", "The tasks of a service, in the bucket waggle_catalog under tasks.ID", catalog.Tasks{}},
		{"list", "What a complete catalog holds, in the bucket waggle_catalog under _list", catalog.List{}},
		{"event", "Something that changed, in the stream waggle_events", catalog.Event{}},
		{"status", "What became of a service, in the bucket waggle_status under COMPONENT.INSTANCE.ID", catalog.Status{}},
		{"instance", "What an instance says of itself, in the bucket waggle_status under instance.COMPONENT.INSTANCE", catalog.Instance{}},
		{"audit", "Something that somebody did, in the stream waggle_audit", audit.Entry{}},
		{"decision", "A decision of the scaler, in the stream waggle_decisions", scaler.Decision{}},
	}
}

// Schemas returns the JSON Schema of every value on the bus, by the path of its file. The
// descriptions are the comments of the sources, which lie in the folder root.
func Schemas(root string) (map[string][]byte, error) {
	comments, err := commentsOf(root)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, v := range values() {
		r := &jsonschema.Reflector{Anonymous: true, AllowAdditionalProperties: true, ExpandedStruct: true, CommentMap: comments}
		s := r.ReflectFromType(reflect.TypeOf(v.of))
		file := path.Join(schemaFolder(), v.name+".schema.json")
		s.ID, s.Title = jsonschema.ID("https://"+repository+"/"+file), v.title
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(s); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", v.name, err)
		}
		out[file] = b.Bytes()
	}
	return out, nil
}

// commentsOf returns the comments of all types and fields, as the reflector takes them
// but for the line breaks of the sources.
func commentsOf(root string) (map[string]string, error) {
	out := map[string]string{}
	for _, folder := range []string{"pkg/catalog", "pkg/audit", "listener/internal/publish", "scaler/internal/decide", "scaler/internal/signal"} {
		r, dir := &jsonschema.Reflector{}, path.Join(root, folder)
		if err := r.AddGoComments("", dir, jsonschema.WithFullComment()); err != nil {
			return nil, fmt.Errorf("comments of %s: %w", folder, err)
		}
		for name, text := range r.CommentMap {
			if rest, ok := strings.CutPrefix(name, dir); ok {
				out[path.Join(repository, folder)+rest] = strings.Join(strings.Fields(text), " ")
			}
		}
	}
	return out, nil
}

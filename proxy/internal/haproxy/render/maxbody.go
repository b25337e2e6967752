package render

import (
	_ "embed"
	"strconv"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

//go:embed maxbody.lua
var bodyScript string

// maxBody refuses requests whose body is too long: those that say so at once, the others
// when the script has counted that much.
func (r *rules) maxBody(most int64) {
	if most == 0 {
		return
	}
	n := strconv.FormatInt(most, 10)
	r.add(lineOf("filter", "lua.waggle_body"))
	r.deny(413, file.If(file.Is(file.OfRequest("req.body_size"), bare("gt", n)...)))
	r.set("max_body", "int("+n+")", always)
	r.add(r.answer(models.HTTPAfterResponseRule{Type: "set-status", Status: 413}, file.If(file.Is(file.Variable("long_body"), bare("-m", "bool")...))))
}

package alert

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	nodes "text/template/parse"
)

// Prometheus fills in a template within its own memory, without a bound, and again at each evaluation
// while the alert fires. A few lines suffice for more than any machine has, by doubling a text over
// and over, and all alerts would go with it. So it is estimated beforehand how much may come out.
const (
	// mostText is how many bytes a template, or any value in it, may come to, and mostSteps how much
	// may be done for it.
	mostText, mostSteps = 4 << 20, 100_000
	// someText and someTurns are what is assumed of what only Prometheus knows: the size of a value, and
	// how many results a query has. Of ranges within ranges the product of two is too much.
	someText, someTurns = 256, 200
	// escaped is how much longer a text becomes at most by being escaped.
	escaped = 6
	// deepest is how deep templates may call each other.
	deepest = 20
)

var errGrows = errors.New("its text may come to many megabytes, or take long to make")

// growth follows a template and keeps the size of each value instead of the value.
type growth struct {
	all         *template.Template
	variables   map[string]int
	text, steps int
	depth       int
	err         error
}

// grows returns an error if a template may come to more than it should.
func grows(t *template.Template) error {
	g := growth{all: t, variables: map[string]int{}}
	g.call(t.Name(), someText)
	return g.err
}

// add is a sum that does not overflow.
func add(a, b int) int { return min(a, math.MaxInt32) + min(b, math.MaxInt32) }

// times is a product that does not overflow.
func times(a, b int) int { return min(a, mostText+1) * min(b, mostText+1) }

// put notes what comes out.
func (g *growth) put(size int) {
	if g.text = add(g.text, size); g.text > mostText {
		g.err = errGrows
	}
}

// call follows one template of the text.
func (g *growth) call(name string, dot int) {
	t := g.all.Lookup(name)
	if t == nil || t.Tree == nil {
		return // that it is not there shows when the alert fires
	}
	if g.depth++; g.depth > deepest {
		g.err = errGrows
		return
	}
	g.follow(t.Root, dot)
	g.depth--
}

// follow follows a node that is no value. Of two branches both are followed, since either may be taken.
func (g *growth) follow(n nodes.Node, dot int) {
	if g.steps++; g.steps > mostSteps {
		g.err = errGrows
	}
	if g.err != nil {
		return
	}
	switch n := n.(type) {
	case *nodes.ListNode:
		if n == nil {
			return
		}
		for _, one := range n.Nodes {
			g.follow(one, dot)
		}
	case *nodes.TextNode:
		g.put(len(n.Text))
	case *nodes.ActionNode:
		if size := g.pipe(n.Pipe, dot); len(n.Pipe.Decl) == 0 {
			g.put(size)
		}
	case *nodes.IfNode:
		g.pipe(n.Pipe, dot)
		g.follow(n.List, dot)
		g.follow(n.ElseList, dot)
	case *nodes.WithNode:
		size := g.pipe(n.Pipe, dot)
		g.follow(n.List, size)
		g.follow(n.ElseList, dot)
	case *nodes.RangeNode:
		size := g.pipe(n.Pipe, dot)
		for range turns(n.Pipe) {
			if g.follow(n.List, size); g.err != nil {
				return
			}
		}
		g.follow(n.ElseList, dot)
	case *nodes.TemplateNode:
		size := 0
		if n.Pipe != nil {
			size = g.pipe(n.Pipe, dot)
		}
		g.call(n.Name, size)
	}
}

// turns are how often a range is gone through.
func turns(p *nodes.PipeNode) int {
	if len(p.Cmds) == 1 && len(p.Cmds[0].Args) == 1 {
		if number, ok := p.Cmds[0].Args[0].(*nodes.NumberNode); ok && number.IsInt {
			return int(min(max(number.Int64, 0), mostSteps))
		}
	}
	return someTurns
}

// pipe is the size of what a pipeline gives, which it assigns as well.
func (g *growth) pipe(p *nodes.PipeNode, dot int) int {
	size := -1
	for _, c := range p.Cmds {
		size = g.command(c, dot, size)
	}
	if size = max(size, 0); size > mostText {
		g.err = errGrows
	}
	for _, v := range p.Decl {
		g.variables[v.Ident[0]] = max(size, g.variables[v.Ident[0]])
	}
	return size
}

// command is the size of what one command gives; last is what comes from the one before it, negative for none.
func (g *growth) command(c *nodes.CommandNode, dot, last int) int {
	if g.steps++; g.steps > mostSteps {
		g.err = errGrows
	}
	var sizes []int
	function, isFunction := c.Args[0].(*nodes.IdentifierNode)
	args := c.Args
	if isFunction {
		args = args[1:]
	}
	for _, a := range args {
		sizes = append(sizes, g.value(a, dot))
	}
	if last >= 0 {
		sizes = append(sizes, last)
	}
	sum, largest := 0, 0
	for _, s := range sizes {
		sum, largest = add(sum, s), max(largest, s)
	}
	switch {
	case !isFunction:
		return max(largest, someText)
	case function.Ident == "printf" && len(sizes) > 0:
		return g.formatted(args, sizes, largest)
	case slices.Contains([]string{"query", "first", "label", "value", "strvalue"}, function.Ident):
		return someText // it comes of what Prometheus has
	case function.Ident == "reReplaceAll" && len(sizes) == 3:
		return times(sizes[1]+1, sizes[2]+1)
	}
	return add(times(sum, escaped), someText)
}

var digits = regexp.MustCompile(`[0-9]+`)

// formatted is the size of what printf gives, whose format may name an argument again and again, and say how wide it is.
func (g *growth) formatted(args []nodes.Node, sizes []int, largest int) int {
	format, ok := "", false
	if len(args) > 0 {
		var constant *nodes.StringNode
		if constant, ok = args[0].(*nodes.StringNode); ok {
			format = constant.Text
		}
	}
	if !ok {
		return times(sizes[0], largest+someText)
	}
	size := add(len(format), times(strings.Count(format, "%"), largest+someText))
	for _, width := range digits.FindAllString(format, -1) {
		n, err := strconv.Atoi(width)
		if err != nil {
			n = mostText
		}
		size = add(size, n)
	}
	return add(size, times(strings.Count(format, "*"), mostText))
}

// value is the size of an argument.
func (g *growth) value(n nodes.Node, dot int) int {
	switch n := n.(type) {
	case *nodes.StringNode:
		return len(n.Text)
	case *nodes.PipeNode:
		return g.pipe(n, dot)
	case *nodes.VariableNode:
		return max(g.variables[n.Ident[0]], someText)
	case *nodes.DotNode, *nodes.FieldNode:
		return max(dot, someText)
	case *nodes.ChainNode:
		return g.value(n.Node, dot)
	case *nodes.IdentifierNode:
		return someText
	}
	return len(n.String())
}

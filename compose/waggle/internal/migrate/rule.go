package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// call is one condition of a rule: its name and what stands in its parentheses.
type call struct {
	name string
	args []string
	not  bool
}

// parseRule reads a rule such as Host(`a`) && (PathPrefix(`/x`) || Path(`/y`)) and returns it as
// alternatives, each of conditions that must all hold.
func parseRule(text string) ([][]call, error) {
	p := ruleParser{rest: text}
	out, err := p.either()
	if err == nil && p.skip() != "" {
		err = fmt.Errorf("%q is not understood", p.rest)
	}
	return out, err
}

type ruleParser struct{ rest string }

func (p *ruleParser) skip() string {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	return p.rest
}

func (p *ruleParser) take(word string) bool {
	rest, ok := strings.CutPrefix(p.skip(), word)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *ruleParser) either() ([][]call, error) {
	out, err := p.all()
	for err == nil && p.take("||") {
		var more [][]call
		more, err = p.all()
		out = append(out, more...)
	}
	return out, err
}

func (p *ruleParser) all() ([][]call, error) {
	out, err := p.one()
	for err == nil && p.take("&&") {
		var more, product [][]call
		if more, err = p.one(); err != nil {
			break
		}
		for _, a := range out {
			for _, b := range more {
				product = append(product, slices.Concat(a, b))
			}
		}
		out = product
	}
	return out, err
}

func (p *ruleParser) one() ([][]call, error) {
	if p.take("(") {
		out, err := p.either()
		if err == nil && !p.take(")") {
			err = fmt.Errorf("a parenthesis is missing before %q", p.rest)
		}
		return out, err
	}
	not := p.take("!")
	at := strings.IndexByte(p.skip(), '(')
	if at < 1 {
		return nil, fmt.Errorf("%q is not understood", p.rest)
	}
	c := call{name: strings.TrimSpace(p.rest[:at]), not: not}
	p.rest = p.rest[at+1:]
	for !p.take(")") {
		p.take(",")
		quote := p.skip()
		if quote == "" || !strings.Contains("`\"'", quote[:1]) {
			return nil, fmt.Errorf("%q is not understood", p.rest)
		}
		text, rest, ok := strings.Cut(quote[1:], quote[:1])
		if !ok {
			return nil, fmt.Errorf("a quote is missing in %q", p.rest)
		}
		c.args, p.rest = append(c.args, text), rest
	}
	return [][]call{{c}}, nil
}

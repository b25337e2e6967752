package release

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// dockerfile is what a Dockerfile of ours says. It knows the instructions that ours use and
// no others, so that an image made of it is the one that 'docker build' makes.
type dockerfile struct {
	// Base is the image below by default; empty: none.
	Base        string
	Copies      []copied
	User        string
	Expose      []string
	StopSignal  string
	Entrypoint  []string
	Healthcheck *healthcheck
}

// copied is a file, or a folder that ends in a slash, with the numbers of its owner.
type copied struct {
	From, To string
	UID, GID int
}

// healthcheck is that of Docker's image configuration, which OCI's does not have. Times are
// in nanoseconds.
type healthcheck struct {
	Test        []string
	Interval    time.Duration `json:",omitempty"`
	Timeout     time.Duration `json:",omitempty"`
	StartPeriod time.Duration `json:",omitempty"`
	Retries     int           `json:",omitempty"`
}

var (
	owner  = regexp.MustCompile(`^--chown=(\d+):(\d+) `)
	option = regexp.MustCompile(`^--([a-z-]+)=(\S+) `)
)

// readDockerfile reads one. The error names the line that it cannot read.
func readDockerfile(text string) (dockerfile, error) {
	var d dockerfile
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "ARG":
			base, ok := strings.CutPrefix(rest, "BASE=")
			if !ok {
				err = fmt.Errorf("want BASE")
			}
			d.Base = base
		case "FROM":
			if rest != "scratch" && rest != "${BASE}" {
				err = fmt.Errorf("want scratch or ${BASE}")
			}
		case "COPY":
			err = d.copies(rest)
		case "USER":
			d.User = rest
		case "EXPOSE":
			d.Expose = append(d.Expose, strings.Fields(rest)...)
		case "STOPSIGNAL":
			d.StopSignal = rest
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &d.Entrypoint)
		case "HEALTHCHECK":
			err = d.health(rest)
		default:
			err = fmt.Errorf("an instruction that a release does not know")
		}
		if err != nil {
			return d, fmt.Errorf("%q: %w", line, err)
		}
	}
	return d, nil
}

func (d *dockerfile) copies(rest string) error {
	var c copied
	if m := owner.FindStringSubmatch(rest); m != nil {
		c.UID, _ = strconv.Atoi(m[1]) // digits
		c.GID, _ = strconv.Atoi(m[2])
		rest = rest[len(m[0]):]
	}
	words := strings.Fields(rest)
	if len(words) != 2 {
		return fmt.Errorf("want COPY [--chown=NUMBER:NUMBER] FROM TO")
	}
	c.From, c.To = words[0], words[1]
	d.Copies = append(d.Copies, c)
	return nil
}

func (d *dockerfile) health(rest string) error {
	d.Healthcheck = &healthcheck{}
	for {
		m := option.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		rest = rest[len(m[0]):]
		n, errN := strconv.Atoi(m[2])
		t, err := time.ParseDuration(m[2])
		switch m[1] {
		case "interval":
			d.Healthcheck.Interval = t
		case "timeout":
			d.Healthcheck.Timeout = t
		case "start-period":
			d.Healthcheck.StartPeriod = t
		case "retries":
			d.Healthcheck.Retries, err = n, errN
		default:
			err = fmt.Errorf("an option that a release does not know: %s", m[1])
		}
		if err != nil {
			return err
		}
	}
	var test []string
	if err := json.Unmarshal([]byte(strings.TrimPrefix(rest, "CMD ")), &test); err != nil {
		return err
	}
	d.Healthcheck.Test = append([]string{"CMD"}, test...)
	return nil
}

package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// NewCert makes an empty certificate, known by the path of its file.
func NewCert(path string) Command { return command("new ssl cert", certname(path)) }

// SetCert prepares the content of a certificate as PEM. CommitCert makes it the one that
// is served, AbortCert forgets it. HAProxy takes one at a time.
func SetCert(path, pem string) Command {
	c := command("set ssl cert", certname(path))
	c.payload = strings.Split(strings.TrimRight(pem, "\n"), "\n")
	if strings.ContainsFunc(pem, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) || strings.TrimSpace(pem) == "" {
		c.err = argument("certificate", path, "PEM, without control characters")
	}
	return c
}

// CommitCert puts what was prepared in force, for new connections.
func CommitCert(path string) Command {
	return command("commit ssl cert", certname(path)).confirm("Success!")
}

// AbortCert forgets what was prepared.
func AbortCert(path string) Command { return command("abort ssl cert", certname(path)) }

// DelCert forgets a certificate that is in no list.
func DelCert(path string) Command { return command("del ssl cert", certname(path)) }

// AddListed adds an entry to a list of certificates: the certificate and the hosts that it
// is for, all of its own if none are given.
func AddListed(list, cert string, hosts ...string) Command {
	c := command("add ssl crt-list", certname(list)).confirm("Success!")
	words := make([]string, 0, 1+len(hosts))
	for _, w := range append([]string{cert}, hosts...) {
		p := certname(w)
		if p.err != nil && c.err == nil {
			c.err = p.err
		}
		words = append(words, p.text)
	}
	c.payload = []string{strings.Join(words, " ")}
	return c
}

// DelListed removes an entry from a list of certificates.
func DelListed(list, cert string) Command {
	return command("del ssl crt-list", certname(list), certname(cert))
}

// certname is a path, or a host, in which nothing has a meaning of its own.
func certname(text string) part {
	wild := text == "!*" || strings.HasPrefix(text, "*.")
	if strings.HasPrefix(text, "#") || strings.ContainsAny(text, `*[]\;'"`) && !wild {
		return part{text: fmt.Sprintf("%q", text), err: argument("certificate", text, "a path or a host name")}
	}
	return word("certificate", text)
}

// ReplaceCert puts another content of a certificate in force. After a failure it is the
// one before that is served.
func (c *Client) ReplaceCert(ctx context.Context, path, pem string) error {
	err := c.Do(ctx, SetCert(path, pem))
	if err == nil {
		err = c.Do(ctx, CommitCert(path))
	}
	if err == nil {
		return nil
	}
	// What was prepared would be in the way of the next one.
	if abort := c.Do(context.WithoutCancel(ctx), AbortCert(path)); abort != nil && !said(abort, "No ongoing transaction") {
		err = errors.Join(err, abort)
	}
	return err
}

// AddCert adds a certificate and an entry for it, or neither.
func (c *Client) AddCert(ctx context.Context, list, path, pem string, hosts ...string) error {
	err := c.Do(ctx, NewCert(path))
	if err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	if err = c.ReplaceCert(ctx, path, pem); err == nil {
		err = c.Do(ctx, AddListed(list, path, hosts...))
	}
	if err != nil {
		err = errors.Join(err, c.Do(context.WithoutCancel(ctx), DelCert(path)))
	}
	return err
}

// RemoveCert removes the entry of a certificate and the certificate.
func (c *Client) RemoveCert(ctx context.Context, list, path string) error {
	if err := c.Do(ctx, DelListed(list, path)); err != nil {
		return err
	}
	return c.Do(ctx, DelCert(path))
}

// RelistCert changes the hosts of a certificate in a list.
func (c *Client) RelistCert(ctx context.Context, list, path string, hosts ...string) error {
	return c.Do(ctx, DelListed(list, path), AddListed(list, path, hosts...))
}

func said(err error, words string) bool {
	var refused *Error
	return errors.As(err, &refused) && strings.Contains(refused.Text, words)
}

// ShowCertList returns the entries of a list of certificates as they run.
func (c *Client) ShowCertList(ctx context.Context, list string) (string, error) {
	return c.one(ctx, show("show ssl crt-list", certname(list)))
}

// ShowFingerprints returns the SHA-1 of certificates by path; those that have no content
// are left out.
func (c *Client) ShowFingerprints(ctx context.Context, paths []string) (map[string]string, error) {
	commands := make([]Command, len(paths))
	for i, p := range paths {
		commands[i] = show("show ssl cert", certname(p))
	}
	out := make(map[string]string, len(paths))
	for i, a := range c.exchange(ctx, commands) {
		if a.err != nil {
			return nil, a.err
		}
		for line := range strings.Lines(a.text) {
			if sum, ok := strings.CutPrefix(line, "SHA1 FingerPrint: "); ok {
				out[paths[i]] = strings.TrimSpace(sum)
			}
		}
	}
	return out, nil
}

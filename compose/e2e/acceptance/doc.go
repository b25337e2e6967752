// Package acceptance runs black-box cases against components of Waggle.
//
// Each case runs in a process of its own that has its own network, file system and
// process namespaces. In there it makes a world: the component with what it needs, such
// as a Swarm (a bus, a catalog on it as the listener writes it, and a DNS server).
//
// A file is {"about": text, "cases": [case...]}. Each case has id, title, kind, note and
// original, which are for the reader, and steps, which are done one after another until
// one fails; each is a list that begins with its kind. What else a case has, and which
// steps there are, is said by its Form, of which there is one for each component. The
// form of a file is recognised by the kinds of its steps. What is not known in a file is
// a failure.
//
// A new form is a package that returns a Form, and a line in cmd/acceptance.
package acceptance

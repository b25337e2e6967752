// Package notify tells HTTP receivers what services and nodes there are, as Docker Flow
// Swarm Listener told them: a create with all parameters in the query, and a remove.
//
// It goes by state and not by events. What each receiver was last told, and what it
// acknowledged, is kept on the bus; a message is due while that differs from what is. So
// nothing is lost while a receiver, or the listener, is away, and nothing acknowledged is
// said twice.
//
// What is due is computed by pure functions (Names, Due, Pause); the Notifier sends it.
package notify

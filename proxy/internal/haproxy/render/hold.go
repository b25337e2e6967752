package render

import (
	_ "embed"
	"strconv"
	"time"

	"github.com/haproxytech/client-native/v6/models"

	"github.com/wagglehq/waggle/proxy/internal/haproxy/file"
)

//go:embed hold.lua
var holdScript string

func holdScriptName() string { return scriptName("hold", holdScript) }

// MostHeld is how many requests wait at a time for one service that sleeps, at whichever of
// its indexes, and HoldFor how long one does. MostHeldTogether is how many wait for all
// services, if that is no more than a quarter of the connections that HAProxy may have.
const (
	MostHeld         = 100
	MostHeldTogether = 1000
	HoldFor          = 20 * time.Second
)

// GivenServer begins the names of servers that a worker of before a reload is given for the
// requests that it holds.
const GivenServer = "given:"

// sleepRetry is when a client should ask again, in seconds, that was not held, or for
// nothing.
const sleepRetry = "2"

// hold lets a request that is admitted wait while no task takes it.
//
// In a worker of before a reload nbsrv is 0, whatever servers there are; the script looks
// itself.
func (r *rules) hold(s Settings) {
	if s.WakeSocket == "" {
		return
	}
	asleep := file.If(file.Is(file.Variable("asleep"), bare("-m", "bool")...))
	r.onRequest(models.HTTPRequestRule{
		Type: "lua", LuaAction: "waggle_hold",
		LuaParams: file.Q(file.Socket+s.WakeSocket).String() + " " + strconv.Itoa(MostHeld) + " " + strconv.Itoa(MostHeldTogether) + " " +
			seconds(HoldFor) + " " + GivenServer,
	}, file.If(file.Is(file.Always("be_name,nbsrv"), bare("eq", "0")...)))
	r.deny(503, asleep)
	r.answerHeader("set", "Retry-After", file.W(sleepRetry), asleep)
}

// Package remote joins agents of other hosts to the scheduler over NATS.
//
// A Hub is at the daemon and gives the scheduler a scheduler.Agent for each host
// that joins; a Member is at the other host, around an agent that runs the work
// (agent.Local). They speak over three core NATS subjects and never touch a
// stream:
//
//	loadstar.fleet.join           a request: who I am, and which attempts I have
//	loadstar.fleet.down.SESSION   daemon to agent: commands
//	loadstar.fleet.up.SESSION     agent to daemon: reports, output, heartbeats
//
// A session begins with a join and ends when either side gives it up:
//
//	        join                       8 ticks of silence, or the daemon ends
//	agent ──────► refused (why; again)        ┌──────────────┐
//	        join                              v              │
//	agent ──────► session ── packets ──► forgotten ── packet ┴► "gone": join again
//	                 └── bye (drained) ──► left
//
// Within a session both ways are a conduit: messages in order, each once, over
// packets that NATS may drop (they are numbered, acknowledged and sent again). So
// a session outlives a connection that comes back. A new session settles anew who
// has what: the agent tells the attempts that it runs, and those that ended within
// the last minute with their results; the core keeps what is the agent's own under
// its present lease and has the rest killed; see scheduler.Rejoin. Workers of a
// stdio pool do not outlive their session.
//
// A result is told again in a new session, since the daemon that took it may have
// ended before it was on disk. The lease makes the second telling harmless.
//
// The package imports models, scheduler, scheduler/worker and NATS.
package remote

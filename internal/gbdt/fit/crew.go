package fit

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// crew is a fixed set of goroutines that share out numbered jobs. Between two
// runs they spin for some microseconds before they sleep, because growing a
// tree is a long chain of short runs. Jobs are taken in any order by anyone,
// so what is computed must not depend on that.
type crew struct {
	size    int // the caller of run included
	jobs    int
	job     func(worker, job int)
	next    atomic.Int64
	pending atomic.Int64 // helpers that have not finished the run
	epoch   atomic.Int64 // counts runs
	quit    bool
	idle    func() bool // no helper is at work
	leader  sleeper
	helpers []sleeper
	wg      sync.WaitGroup
}

// sleeper lets one goroutine sleep until another wakes it. It loses no wake:
// wake finds it either awake, and then it sees what it waits for, or asleep.
type sleeper struct {
	asleep atomic.Bool
	signal chan struct{}
	waits  uint32 // so far
	missed uint32 // times in a row that spinning was in vain
	_      [40]byte
}

// spins is how often a waiting goroutine looks before it sleeps: some ten
// microseconds, which is less than falling asleep and being woken costs.
const spins = 1 << 14

// patience is how often to look now. Where the processors are busy with other
// work, the one waited for may not even run: spinning only keeps it off. After
// some waits in vain it is cut short, and tried in full now and then.
func (s *sleeper) patience() int {
	s.waits++
	if s.missed >= 4 && s.waits%16 != 0 {
		return spins / 64
	}
	return spins
}

// wait returns when ready does not return false any more.
func (s *sleeper) wait(ready func() bool) {
	for range s.patience() {
		if ready() {
			s.missed = 0
			return
		}
	}
	s.missed++
	for {
		s.asleep.Store(true)
		if ready() {
			if !s.asleep.CompareAndSwap(true, false) {
				<-s.signal // somebody is about to wake us
			}
			return
		}
		<-s.signal
		if ready() {
			return
		}
	}
}

func (s *sleeper) wake() {
	if s.asleep.CompareAndSwap(true, false) {
		s.signal <- struct{}{}
	}
}

// newCrew starts a crew; more goroutines than processors would only spin in
// one another's way. Call close when done.
func newCrew(threads int) *crew {
	procs := runtime.GOMAXPROCS(0)
	if threads <= 0 {
		threads = procs
	}
	c := &crew{size: min(threads, procs)}
	c.idle = func() bool { return c.pending.Load() == 0 }
	c.leader.signal = make(chan struct{}, 1)
	c.helpers = make([]sleeper, c.size-1)
	for i := range c.helpers {
		c.helpers[i].signal = make(chan struct{}, 1)
		c.wg.Go(func() { c.help(i) })
	}
	return c
}

func (c *crew) help(i int) {
	done := int64(0)
	ready := func() bool { return c.epoch.Load() != done }
	for {
		c.helpers[i].wait(ready)
		done++
		if c.quit {
			return
		}
		c.work(i + 1)
		if c.pending.Add(-1) == 0 {
			c.leader.wake()
		}
	}
}

func (c *crew) work(worker int) {
	for {
		i := int(c.next.Add(1)) - 1
		if i >= c.jobs {
			return
		}
		c.job(worker, i)
	}
}

// run does jobs 0…n−1 and returns when all are done. worker is below size
// and tells jobs that run at the same time apart.
func (c *crew) run(n int, job func(worker, job int)) {
	if n <= 1 || c.size == 1 {
		for i := range n {
			job(0, i)
		}
		return
	}
	c.jobs, c.job = n, job
	c.next.Store(0)
	c.pending.Store(int64(len(c.helpers)))
	c.epoch.Add(1)
	for i := range c.helpers {
		c.helpers[i].wake()
	}
	c.work(0)
	c.leader.wait(c.idle)
}

func (c *crew) close() {
	c.quit = true
	c.epoch.Add(1)
	for i := range c.helpers {
		c.helpers[i].wake()
	}
	c.wg.Wait()
}

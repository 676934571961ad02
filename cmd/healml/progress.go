package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows what a long job is doing: a bar on a terminal, nothing
// elsewhere.
type progress struct {
	a     *app
	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	stage string
}

func (a *app) progress() *progress { return &progress{a: a} }

// step says that done of total (0 when unknown) units of stage are through.
func (p *progress) step(stage string, done, total int) {
	if p.a.quiet || !terminal(p.a.stderr) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stage != p.stage {
		p.clear()
		p.stage = stage
		if total <= 0 {
			total = -1
		}
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.a.stderr), progressbar.OptionSetDescription(fmt.Sprintf("%-26s", stage)),
			progressbar.OptionThrottle(65*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30))
	}
	_ = p.bar.Set(done) // a bar that cannot be drawn is no reason to stop
}

// done takes the bar away.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}

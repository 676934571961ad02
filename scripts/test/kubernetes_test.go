package test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workload is the part of a manifest that is looked at.
type workload struct {
	Kind string `yaml:"kind"`
	Spec struct {
		Schedule string `yaml:"schedule"`
		Replicas int    `yaml:"replicas"`
		Template struct {
			Spec pod `yaml:"spec"`
		} `yaml:"template"`
		JobTemplate struct {
			Spec struct {
				Template struct {
					Spec pod `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		} `yaml:"jobTemplate"`
	} `yaml:"spec"`
}

type pod struct {
	SecurityContext struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
	} `yaml:"securityContext"`
	Containers []struct {
		Args            []string `yaml:"args"`
		SecurityContext struct {
			ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
		} `yaml:"securityContext"`
	} `yaml:"containers"`
}

// TestKubernetes wants a server and the jobs of the crontab, at its times, by
// commands that there are, without root.
func TestKubernetes(t *testing.T) {
	f, err := os.Open("../kubernetes/healml.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	crontab, err := os.ReadFile("../../crontab")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for d := yaml.NewDecoder(f); ; {
		var w workload
		if err := d.Decode(&w); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		found[w.Kind]++
		p := w.Spec.Template.Spec
		if w.Kind == "CronJob" {
			p = w.Spec.JobTemplate.Spec.Template.Spec
		}
		if w.Kind == "Deployment" && w.Spec.Replicas != 1 {
			t.Errorf("%d servers on one volume", w.Spec.Replicas)
		}
		for _, c := range p.Containers {
			if !p.SecurityContext.RunAsNonRoot || !c.SecurityContext.ReadOnlyRootFilesystem {
				t.Errorf("%v runs as root, or writes to its file system", c.Args)
			}
			if out, err := exec.Command("../../bin/healml", append(c.Args, "--help")...).CombinedOutput(); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("healml %s: %v\n%s", strings.Join(c.Args, " "), err, out)
			}
			if w.Kind != "CronJob" {
				continue
			}
			line := strings.ReplaceAll(regexp.QuoteMeta(w.Spec.Schedule), " ", `\s+`) + ".*healml.*" + strings.Join(c.Args, " ")
			if !regexp.MustCompile(line).Match(crontab) {
				t.Errorf("%v runs at %q, which the crontab does not say", c.Args, w.Spec.Schedule)
			}
		}
	}
	if found["Deployment"] != 1 || found["CronJob"] != 4 || found["PersistentVolumeClaim"] != 1 || found["Service"] != 1 {
		t.Errorf("the manifest has %v", found)
	}
}

package main

import (
	"bytes"
	"os"
	"testing"
)

// The shipped file is what the generator writes, byte for byte.
func TestSampleIsReproduced(t *testing.T) {
	shipped, err := os.ReadFile("../../data/sales.csv")
	if err != nil {
		t.Fatal(err)
	}
	var made bytes.Buffer
	if err := write(&made); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Bytes(), shipped) {
		t.Error("data/sales.csv is not what the generator writes: go run ./scripts/data > data/sales.csv")
	}
}

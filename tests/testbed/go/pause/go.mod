module testbed

go 1.25

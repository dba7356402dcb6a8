-- make bench: what a script's first line costs.
print "first line"

-- make bench: as many calls at once as a script makes.
return { pool = { per_model = 1000000 } }

# Turns the lines that the parity tests print into doc/parity.md. Complete
# fixtures where they are, else the compact ones.
match($0, /parity [a-z0-9_]+ +[a-z0-9:-]+ +(complete|compact) +eval /) {
    split(substr($0, RSTART), f, / +/)
    key = f[2] " " f[3]
    if (!(key in row)) order[++count] = key
    if (f[4] == "complete" || !(key in row)) {
        gsub(/,/, "", f[20])
        row[key] = sprintf("| %s | %s | %s | %s / %s | %s / %s | %s / %s | %s / %s | %s of %s |", \
            f[2], f[3], f[4], f[6], f[8], f[10], f[12], f[14], f[16], f[18], f[20], f[21], f[23])
    }
}
END {
    if (!count) { print "no line of a parity test was read" > "/dev/stderr"; exit 1 }
    print "# Every network against its reference"
    print ""
    print "Written by `make parity`. Largest difference of the logits in evaluation and in training"
    print "(absolute), of the loss (relative), and of the gradients' norms (relative, beyond 2e-5 of the"
    print "largest norm), each before its bound; and how many norms differ by more than 99 % of them may."
    print "Fixtures: PyTorch 2.9 on a CPU, f32, batch 2, 224 px, weights by rule. A training pass of"
    print "DCSAU-Net in f32 is not comparable with another one (one unit in the last place of the input"
    print "moves a gradient by up to 70 %), so its gradients are computed in f64."
    print ""
    print "| fixture | device | form | evaluation | training | loss | gradients | beyond |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= count; i++) print row[order[i]]
}

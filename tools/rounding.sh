#!/bin/sh
# How far does rounding alone move a score? Trains the smoke experiment from its own
# initial weights (draw 0) and from some whose values are each moved by one unit in the
# last place, and shows all of them in one table.
#
#   rounding.sh NUDGE DYGL EXPERIMENT FOLDER DRAWS
#
# Exit codes are those of `dygl run` and `dygl report`.
set -eu
nudge=$1 dygl=$2 experiment=$3 folder=$4 draws=$5
mkdir -p "$folder"
size=$(sed -n 's/^image.size = *//p' "$experiment")
seed=$(sed -n 's/^seed = \[\([0-9]*\)\]/\1/p' "$experiment")
entries=
for model in unet dyglnet; do
    for draw in $(seq 0 "$draws"); do
        file="$folder/$model-$draw.safetensors"
        "$nudge" "$model" "$size" "$seed" "$draw" "$file"
        sum=$(sha256sum "$file" | cut -d' ' -f1)
        entries="$entries  { name = \"$model\", label = \"$model $draw\", pretrained = { file = \"$file\", sha256 = \"$sum\" } },\\
"
    done
done
sed -e 's/^name = .*/name = "rounding"/' -e "s|^model = .*|model = [\\
$entries]|" "$experiment" > "$folder/rounding.toml"
"$dygl" run "$folder/rounding.toml" --store "$folder/store" --device flex
"$dygl" report "$folder/rounding.toml" --store "$folder/store" --out "$folder/report"

//! Every predicate on a small paper: true, false, and where the numbers are equal.

use dygl_spec::diagnostic::Diagnostics;

use super::*;

const NUMBERS: &str = r#"
[[dataset]]
id = "one"
label = "One"
images = 100
resize = [224, 224]
train = 80
validation = 10
test = 10
modality = "x"
[[dataset]]
id = "two"
label = "Two"
images = 50
resize = [224, 224]
train = 40
validation = 5
test = 5
modality = "x"
[[model]]
id = "a"
label = "A"
group = "cnn"
[[model]]
id = "b"
label = "B"
group = "cnn"
[[model]]
id = "c"
label = "C"
group = "transformer"
[[model]]
id = "o,x=1"
label = "w X"
group = "ablation"
[[model]]
id = "o"
label = "O"
group = "ours"
[[table]]
number = 2
dataset = "one"
metrics = ["dice", "iou", "recall"]
rows = [["a", "80.00", "67.00", "90.00"], ["b", "81.00", "68.50", "85.00"], ["c", "82.00", "69.60", "84.00"], ["o", "84.00", "72.50", "85.00"]]
[[table]]
number = 3
dataset = "two"
metrics = ["dice", "iou"]
rows = [["a", "70.00", "54.00"], ["b", "72.00", "56.30"], ["c", "71.00", "55.20"], ["o", "72.00", "56.40"]]
[[table]]
number = 6
dataset = "one"
metrics = ["dice"]
rows = [["o,x=1", "83.00"], ["o", "84.00"]]
[[table]]
number = 6
dataset = "two"
metrics = ["dice"]
rows = [["o,x=1", "72.00"], ["o", "72.00"]]
[[table]]
number = 7
dataset = "all"
metrics = ["mdice", "params_m", "flops_g"]
rows = [["a", "75.00", "30.00", "9.00"], ["b", "76.50", "9.00", "8.00"], ["c", "76.50", "20.00", "3.00"], ["o", "78.00", "10.00", "3.00"]]
"#;

fn sentences(checks: &str) -> String {
    format!(
        "[paper]\ntitle = 'A small paper'\nselection = 'the last'\n\
         [[claim]]\nid = 's'\nsection = '4.2'\nquote = 'so it says'\ncheck = [{checks}]\n"
    )
}

fn judged(checks: &str) -> Audit {
    Copy::of(NUMBERS, &sentences(checks)).audit(None)
}

/// Ids and severities of what is found in one check; empty if it holds.
#[track_caller]
fn found(check: &str) -> Vec<(String, Severity)> {
    let audit = judged(&format!("{{ {check} }}"));
    let found: Vec<_> = audit
        .findings
        .iter()
        .filter(|finding| finding.claim.is_some())
        .map(|finding| (finding.id.clone(), finding.severity))
        .collect();
    assert_eq!(found.is_empty(), audit.held.len() == 1, "it either holds or does not: {audit:#?}");
    found
}

#[track_caller]
fn holds(check: &str) {
    assert_eq!(found(check), [], "{check}");
}

#[track_caller]
fn fails(check: &str, id: &str, severity: Severity) {
    assert_eq!(found(check), [(format!("s/{id}"), severity)], "{check}");
}

use Severity::{Ambiguity, Contradiction, Overstatement, Unsupported};

#[test]
fn value() {
    holds("says = 'value', model = 'o', dataset = 'one', values = { dice = '84.00', iou = '72.5' }");
    fails(
        "says = 'value', model = 'o', dataset = 'one', values = { dice = '84.01' }",
        "value",
        Contradiction,
    );
    holds("says = 'value', model = 'o', dataset = 'all', values = { params_m = '10.00' }");
}

#[test]
fn gain_and_drop_in_either_meaning() {
    // 3.00 points are 3.70 % of 81.
    holds("says = 'gain', model = 'o', over = 'b', dataset = 'one', values = { dice = '3.00' }");
    holds("says = 'gain', model = 'o', over = 'b', dataset = 'one', values = { dice = '3.70' }");
    fails(
        "says = 'gain', model = 'o', over = 'b', dataset = 'one', values = { dice = '3.35' }",
        "gain",
        Contradiction,
    );
    // A fall of 1.00 from 84 is 1.19 %, not 1.20 % of 83.
    holds("says = 'drop', model = 'o,x=1', from = 'o', dataset = 'one', values = { dice = '1.00' }");
    holds("says = 'drop', model = 'o,x=1', from = 'o', dataset = 'one', values = { dice = '1.19' }");
    fails(
        "says = 'drop', model = 'o,x=1', from = 'o', dataset = 'one', values = { dice = '1.40' }",
        "drop",
        Contradiction,
    );
    holds("says = 'drop', model = 'o,x=1', from = 'o', dataset = 'two', values = { dice = '0.00' }");
}

#[test]
fn percentages_of_two_meanings_are_told_once() {
    let points = "{ says = 'gain', model = 'o', over = 'b', dataset = 'one', values = { dice = '3.00' } }";
    let relative = "{ says = 'gain', model = 'o', over = 'a', dataset = 'one', values = { dice = '5.00' } }";
    let audit = judged(&format!("{points}, {relative}"));
    finding(&audit, "mixed-percentages").is(Ambiguity).has("in points", 1.0).has("relative", 1.0);
    let ids = |audit: &Audit| audit.findings.iter().filter(|f| f.id == "mixed-percentages").count();
    assert_eq!(ids(&judged(points)), 0);
    // A number that fits neither says nothing about the meaning.
    let neither = "{ says = 'gain', model = 'o', over = 'a', dataset = 'one', values = { dice = '9.00' } }";
    assert_eq!(ids(&judged(&format!("{points}, {neither}"))), 0);
}

#[test]
fn best() {
    holds("says = 'best', model = 'o', datasets = ['one'], metrics = ['dice', 'iou']");
    fails("says = 'best', model = 'o', datasets = ['one'], metrics = ['recall']", "best", Contradiction);
    fails("says = 'best', model = 'o', datasets = ['two'], metrics = ['dice']", "best/tie", Overstatement);
    // One column is lost and one shared.
    let both = found("says = 'best', model = 'b', datasets = ['two']");
    assert_eq!(both, [("s/best".to_owned(), Contradiction), ("s/best/tie".to_owned(), Overstatement)]);
}

#[test]
fn best_of_some() {
    fails(
        "says = 'best', model = 'o', than = ['b'], datasets = ['one'], metrics = ['recall']",
        "best/tie",
        Overstatement,
    );
    holds("says = 'best', model = 'o', than = ['transformer'], datasets = ['one'], metrics = ['recall']");
    holds("says = 'best', model = 'c', except = ['o'], datasets = ['one'], metrics = ['dice']");
    fails("says = 'best', model = 'c', datasets = ['one'], metrics = ['dice']", "best", Contradiction);
}

#[test]
fn best_beyond_what_is_named_and_hedged() {
    let named = "says = 'best', model = 'o', datasets = ['one'], metrics = ['dice', 'iou']";
    fails(&format!("{named}, unqualified = true"), "best/beyond", Overstatement);
    let recall = "says = 'best', model = 'o', datasets = ['one'], metrics = ['recall'], hedged = true";
    fails(recall, "best", Overstatement);
    holds("says = 'best', model = 'o', datasets = ['two'], metrics = ['dice'], hedged = true");
}

#[test]
fn only_above() {
    holds("says = 'only-above', model = 'o', above = ['a'], dataset = 'one', metric = 'recall'");
    // B has the same.
    fails(
        "says = 'only-above', model = 'o', above = ['a', 'b'], dataset = 'one', metric = 'recall'",
        "only-above",
        Contradiction,
    );
    fails(
        "says = 'only-above', model = 'c', above = ['a', 'b'], dataset = 'one', metric = 'recall'",
        "only-above",
        Contradiction,
    );
}

#[test]
fn groups() {
    let on = |dataset: &str| {
        format!(
            "says = 'groups', above = ['transformer'], below = ['cnn'], datasets = ['{dataset}'], metrics = ['dice']"
        )
    };
    holds(&on("one"));
    fails(&on("two"), "groups", Contradiction);
    fails(&format!("{}, hedged = true", on("two")), "groups", Overstatement);
    // The mean of 70 and 72 is 71: a tie.
    fails(&format!("{}, by_mean = true", on("two")), "groups", Contradiction);
    holds(&format!("{}, by_mean = true", on("one")));
}

#[test]
fn falls() {
    holds("says = 'falls', models = ['o,x=1'], from = 'o', datasets = ['one']");
    fails("says = 'falls', models = ['o,x=1'], from = 'o'", "falls", Contradiction);
    let audit = judged("{ says = 'falls', models = ['o,x=1'], from = 'o' }");
    finding(&audit, "s/falls").has("not lower", 1.0).rests_on(&[cell(6, "two", "o,x=1", "dice", "72.00")]);
}

#[test]
fn most() {
    holds("says = 'most', model = 'o,x=1', from = 'o', datasets = ['one'], metric = 'dice'");
    fails(
        "says = 'most', model = 'o,x=1', from = 'o', datasets = ['two'], metric = 'dice'",
        "most",
        Contradiction,
    );
    let equal = NUMBERS.replace(r#"["o,x=1", "72.00"]"#, r#"["o,x=1", "71.00"]"#);
    let check = "{ says = 'most', model = 'o,x=1', from = 'o', datasets = ['two'], metric = 'dice' }";
    let audit = Copy::of(&equal, &sentences(check)).audit(None);
    assert_eq!(audit.held.len(), 1, "as large as any other is largest: {audit:#?}");
}

#[test]
fn cheaper() {
    holds("says = 'cheaper', model = 'o', than = ['a'], metrics = ['params_m', 'flops_g']");
    fails("says = 'cheaper', model = 'o', than = ['cnn'], metrics = ['params_m']", "cheaper", Contradiction);
    // C has as many operations.
    fails("says = 'cheaper', model = 'o', than = ['c'], metrics = ['flops_g']", "cheaper", Contradiction);
    // The next in mean Dice is B, which has fewer parameters.
    fails("says = 'cheaper', model = 'o', metrics = ['params_m'], vague = true", "cheaper", Contradiction);
    fails("says = 'cheaper', model = 'o', metrics = ['flops_g'], vague = true", "cheaper", Ambiguity);
}

#[test]
fn costs_less_needs_a_ledger() {
    let check = "{ says = 'costs-less', model = 'o', than = ['a'], by = ['parameters', 'operations'] }";
    let copy = Copy::of(NUMBERS, &sentences(check));
    assert_eq!(copy.audit(None).unchecked.iter().filter(|one| one.id == "s/costs-less").count(), 1);
    let cost =
        |model: &str, parameters, operations| ledger(model, parameters, [parameters, operations], operations);
    let held =
        copy.audit(Some(&[cost("o", 10_000_000, 3_000_000_000), cost("a", 30_000_000, 9_000_000_000)]));
    assert!(held.held.iter().any(|one| one.id == "s/costs-less"), "{held:#?}");
    let tie = copy.audit(Some(&[cost("o", 10_000_000, 9_000_000_000), cost("a", 30_000_000, 9_000_000_000)]));
    finding(&tie, "s/costs-less/true-costs").is(Contradiction).has("operations", 9e9);
    let lacking = copy.audit(Some(&[cost("o", 10_000_000, 3_000_000_000)]));
    assert!(lacking.unchecked.iter().any(|one| one.why.contains("no entry of `a`")), "{lacking:#?}");
}

#[test]
fn members_images_ratio_and_counts() {
    holds("says = 'members', group = 'cnn', models = ['b', 'a']");
    fails("says = 'members', group = 'cnn', models = ['a']", "members", Contradiction);
    fails("says = 'members', group = 'cnn', models = ['a', 'b', 'c']", "members", Contradiction);
    holds("says = 'images', dataset = 'one', images = 100, test = 10");
    fails("says = 'images', dataset = 'one', images = 100, test = 11", "images", Contradiction);
    holds("says = 'ratio', dataset = 'one', parts = [8, 1, 1]");
    fails("says = 'ratio', dataset = 'one', parts = [7, 2, 1]", "ratio", Contradiction);
    holds("says = 'count', of = 'datasets', number = 2");
    holds("says = 'count', of = 'metrics', number = 3");
    holds("says = 'count', of = 'models', number = 4");
    fails("says = 'count', of = 'models', number = 5", "count", Contradiction);
}

#[test]
fn prints_and_measured() {
    holds("says = 'prints', metrics = ['dice', 'iou']");
    holds("says = 'prints', metrics = ['recall'], datasets = ['one']");
    fails("says = 'prints', metrics = ['recall']", "prints", Overstatement);
    holds("says = 'measured', metrics = ['hd95', 'recall']");
    fails("says = 'measured', metrics = ['hd95']", "measured", Unsupported);
}

#[test]
fn sums_and_products() {
    holds("says = 'sum', total = 4, parts = [1, 1, 2]");
    fails("says = 'sum', total = 5, parts = [1, 1, 2]", "sum", Contradiction);
    holds("says = 'product', total = 8, parts = [2, 4]");
    fails("says = 'product', total = 2, parts = [2, 4]", "product", Contradiction);
}

#[test]
fn quantities_agree_wherever_they_are_stated() {
    let two = |a: &str, b: &str| {
        judged(&format!(
            "{{ says = 'quantity', name = 'rate', value = '{a}' }}, {{ says = 'quantity', name = 'rate', value = '{b}' }}"
        ))
    };
    assert!(two("1e-3", "0.001").findings.iter().all(|f| !f.id.starts_with("quantity/")));
    finding(&two("1e-3", "1e-4"), "quantity/rate")
        .is(Contradiction)
        .has("value 1", 1e-4)
        .has("value 2", 1e-3);
    assert_eq!(judged("{ says = 'quantity', name = 'rate', value = '1' }").alone, 1);
    // Table 1 states the size of the images too.
    let size = judged("{ says = 'quantity', name = 'image.size', value = '256' }");
    finding(&size, "quantity/image.size").has("value 1", 224.0).has("value 2", 256.0);
}

#[test]
fn names_are_spelled_one_way() {
    let with = |b: &str| {
        let names = format!(
            "[[names]]\nplace = 'Table 2'\nmodels = {{ a = 'A-Net' }}\n[[names]]\nplace = 'Section 2'\nmodels = {{ a = '{b}' }}\n"
        );
        Copy::of(NUMBERS, &format!("{}{names}", sentences(""))).audit(None)
    };
    assert!(with("A-Net").findings.iter().all(|f| !f.id.starts_with("spelling/")));
    let signs = with("ANet");
    let found = finding(&signs, "spelling/network/a").has("spellings", 2.0);
    assert!(found.says.contains("capitals or signs"), "{}", found.says);
    assert!(finding(&with("A-Network"), "spelling/network/a").says.contains("letters"));
}

fn mistakes(text: &str) -> Diagnostics {
    let reported = Reported::parse(NUMBERS).expect("readable");
    Claims::parse(Origin::Argument("test"), text, &reported).expect_err("mistakes")
}

#[test]
fn every_mistake_is_told_with_its_place_and_remedy() {
    let text = sentences(
        "\n{ says = 'value', model = 'q', dataset = 'onee', values = { dice = 84.0, dise = '1' } },\
         \n{ says = 'bset', model = 'o' },\
         \n{ says = 'best', model = 'o', hegded = true },\
         \n{ says = 'ratio', dataset = 'one', parts = [8, 1] },\
         \n{ says = 'ratio', dataset = 'all', parts = [8, 1, 1] },\
         \n{ says = 'count', of = 'networks', number = -1 },\
         \n{ says = 'quantity', name = 'x', value = 'many' },\
         \n{ says = 'cheaper', model = 'o', than = ['a'], metrics = ['flops_g'], vague = true },\
         \n{ says = 'only-above', model = 'o', above = [], dataset = 'one', metric = 'dice' },\
         \n{ says = 'gain', model = 'o', dataset = 'one' }",
    );
    let text = format!("{text}[[claim]]\nid = 's'\nsection = '1'\nquote = ''\ncheck = []\n[[claimm]]\n");
    let found = mistakes(&text);
    let told = found.to_string();
    for expected in [
        "no network `q`",
        "no dataset `onee`",
        "did you mean `one`?",
        "must be a text, so that no digit is lost",
        "no metric `dise`",
        "did you mean `dice`?",
        "no check says `bset`",
        "did you mean `best`?",
        "unknown key `check.hegded`",
        "did you mean `hedged`?",
        "three numbers: train, validation, test",
        "is the mean of the datasets and has no images",
        "`check.of` has no value `networks`",
        "`check.number` must be a whole number",
        "`many` is not a number",
        "leave out `than` or `vague`",
        "`check.above` is empty",
        "[check] lacks `over`",
        "[check] lacks `values`",
        "two claims have the id `s`",
        "unknown key `claimm`",
    ] {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }
    let entries = found.entries();
    let place = |message: &str| {
        entries.iter().find(|entry| entry.message.contains(message)).map(|entry| (entry.line, entry.column))
    };
    assert_eq!(place("no network `q`"), Some((9, 27)));
    assert_eq!(place("no check says `bset`"), Some((10, 10)));
}

#[test]
fn broken_syntax_and_a_missing_title_are_told() {
    assert!(mistakes("[[claim]\n").to_string().contains("not valid TOML"));
    assert!(mistakes("[paper]\n").to_string().contains("[paper] lacks `title`"));
    assert!(mistakes("paper = 3\nclaim = 4\n").to_string().contains("must be a list of tables"));
}

#[test]
fn a_number_that_is_not_printed_is_told_with_the_place_of_its_check() {
    let reported = Reported::parse(NUMBERS).expect("readable");
    let told = |check: &str| {
        let text = sentences(&format!("{{ {check} }}"));
        let claims = Claims::parse(Origin::Argument("test"), &text, &reported).expect("readable");
        audit(&claims, &reported, None).expect_err("it is not printed").to_string()
    };
    let recall = told("says = 'value', model = 'o', dataset = 'two', values = { recall = '85.00' }");
    assert!(recall.contains("table 3 has no `recall` of `o` for `two`"), "{recall}");
    assert!(recall.contains("test:8:10"), "{recall}");
    assert!(
        told("says = 'best', model = 'o', datasets = ['two'], metrics = ['recall']").contains("no `recall`")
    );
    assert!(told("says = 'falls', models = ['a'], from = 'o,x=1'").contains("no table has rows of"));
    assert!(
        told("says = 'best', model = 'o', than = ['o'], metrics = ['dice']")
            .contains("no network to compare")
    );
}

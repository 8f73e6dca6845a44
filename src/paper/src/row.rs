//! One table of `check`, key by key.

use dygl_spec::diagnostic::Diagnostic;
use dygl_spec::fields::Fields;
use dygl_spec::kind::wrong_type;
use dygl_spec::name::Named;
use dygl_spec::reported::Printed;
use dygl_spec::source::At;
use dygl_spec::tree::{Node, Value as Tree};

use super::numbers::MEAN;
use super::predicate::{
    Arithmetic, Best, Change, Cheaper, CostsLess, Count, Counted, Expense, Falls, Groups, Images, Measured,
    Members, Most, OnlyAbove, Predicate, Prints, Quantity, Ratio, Rival, Value,
};
use super::read::{Reader, Word};

/// The table, and who reads it.
pub(super) struct Row<'r, 'k, 'n> {
    pub reader: &'r mut Reader<'k>,
    pub fields: Fields<'n>,
    pub at: At,
}

impl<'n> Row<'_, '_, 'n> {
    /// The predicate of a kind.
    pub fn predicate(&mut self, says: &str) -> Option<Predicate> {
        match says {
            "value" => self.value(),
            "gain" => self.change(false),
            "drop" => self.change(true),
            "best" => self.best(),
            "only-above" => self.only_above(),
            "groups" => self.groups(),
            "falls" => self.falls(),
            "most" => self.most(),
            "cheaper" => self.cheaper(),
            "costs-less" => self.costs_less(),
            "members" => self.members(),
            "images" => self.images(),
            "ratio" => self.ratio(),
            "count" => self.count(),
            "prints" => self.prints(),
            "quantity" => self.quantity(),
            "sum" => self.arithmetic(false),
            "product" => self.arithmetic(true),
            "measured" => self.measured(),
            // Refused before.
            _ => None,
        }
    }

    fn require(&mut self, key: &'static str) -> Option<&'n Node> {
        let help = format!("this kind of check needs `{key}`");
        Some(&self.fields.require(key, &help, &mut self.reader.found)?.node)
    }

    fn optional(&mut self, key: &'static str) -> Option<&'n Node> {
        self.fields.get(key).map(|entry| &entry.node)
    }

    fn known(&mut self, key: &str, node: &Node, word: Word) -> Option<String> {
        let text = self.reader.text(&format!("check.{key}"), node)?;
        self.reader.known(&text, node.at, word)
    }

    fn word(&mut self, key: &'static str, word: Word) -> Option<String> {
        let node = self.require(key)?;
        self.known(key, node, word)
    }

    fn model(&mut self, key: &'static str) -> Option<Named> {
        named(self.word(key, Word::Model)?)
    }

    /// A list of words; a refused item refuses the list.
    fn list(&mut self, key: &'static str, node: Option<&Node>, word: Word) -> Option<Vec<String>> {
        let Some(node) = node else { return Some(Vec::new()) };
        let Tree::List(items) = &node.value else {
            self.reader.found.push(wrong_type(&format!("check.{key}"), node, "a list of texts"));
            return None;
        };
        let read: Vec<Option<String>> = items.iter().map(|item| self.known(key, item, word)).collect();
        read.into_iter().collect()
    }

    fn words(&mut self, key: &'static str, word: Word) -> Option<Vec<String>> {
        let node = self.require(key)?;
        let read = self.list(key, Some(node), word)?;
        if read.is_empty() {
            self.refuse(node.at, format!("`check.{key}` is empty"));
            return None;
        }
        Some(read)
    }

    fn any(&mut self, key: &'static str, word: Word) -> Option<Vec<String>> {
        let node = self.optional(key);
        self.list(key, node, word)
    }

    fn models(&mut self, key: &'static str) -> Option<Vec<Named>> {
        self.words(key, Word::Model)?.into_iter().map(named).collect()
    }

    fn rivals(&mut self) -> Option<Vec<Rival>> {
        let words = self.any("than", Word::Rival)?;
        let is_group = |word: &String| self.reader.known.groups.contains(word);
        words
            .into_iter()
            .map(
                |word| if is_group(&word) { Some(Rival::Group(word)) } else { named(word).map(Rival::Model) },
            )
            .collect()
    }

    fn flag(&mut self, key: &'static str) -> Option<bool> {
        match self.optional(key) {
            None => Some(false),
            Some(Node { value: Tree::Flag(flag), .. }) => Some(*flag),
            Some(node) => {
                self.reader.found.push(wrong_type(&format!("check.{key}"), node, "true or false"));
                None
            }
        }
    }

    fn whole(&mut self, key: &str, node: &Node) -> Option<usize> {
        match node.value {
            Tree::Integer(number) if usize::try_from(number).is_ok() => usize::try_from(number).ok(),
            _ => {
                let what = "a whole number, at least 0";
                self.reader.found.push(wrong_type(&format!("check.{key}"), node, what));
                None
            }
        }
    }

    fn number(&mut self, key: &'static str) -> Option<usize> {
        let node = self.require(key)?;
        self.whole(key, node)
    }

    fn numbers(&mut self, key: &'static str) -> Option<Vec<usize>> {
        let node = self.require(key)?;
        let Tree::List(items) = &node.value else {
            self.reader.found.push(wrong_type(&format!("check.{key}"), node, "a list of whole numbers"));
            return None;
        };
        let read: Vec<Option<usize>> = items.iter().map(|item| self.whole(key, item)).collect();
        read.into_iter().collect()
    }

    /// The optional number of a table; `None` is a refusal.
    fn table(&mut self) -> Option<Option<u8>> {
        let Some(node) = self.optional("table") else { return Some(None) };
        let number = self.whole("table", node)?;
        match u8::try_from(number) {
            Ok(number) => Some(Some(number)),
            Err(_) => {
                self.refuse(node.at, format!("there is no table {number}"));
                None
            }
        }
    }

    /// `values = { dice = "91.34" }`.
    fn values(&mut self) -> Option<Vec<(String, Printed)>> {
        let node = self.require("values")?;
        let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) else {
            self.reader.found.push(wrong_type("check.values", node, "a table such as { dice = \"91.34\" }"));
            return None;
        };
        let mut read = Vec::new();
        for entry in entries {
            let metric = self.reader.known(&entry.key, entry.key_at, Word::Metric);
            let printed = match &entry.node.value {
                Tree::Text(text) => match Printed::parse(text) {
                    Ok(printed) => Some(printed),
                    Err(problem) => {
                        self.refuse(entry.node.at, problem);
                        None
                    }
                },
                _ => {
                    let what = "a text, so that no digit is lost: \"97.90\"";
                    self.reader.found.push(wrong_type("check.values", &entry.node, what));
                    None
                }
            };
            read.push(metric.zip(printed));
        }
        read.into_iter().collect()
    }

    fn choice(&mut self, key: &str, node: &Node, words: &[&str]) -> Option<usize> {
        let text = self.reader.text(&format!("check.{key}"), node)?;
        let found = words.iter().position(|word| *word == text);
        if found.is_none() {
            self.reader.found.push(
                Diagnostic::new(node.at, format!("`check.{key}` has no value `{text}`"))
                    .suggest(&text, words, "values"),
            );
        }
        found
    }

    fn refuse(&mut self, at: At, message: String) {
        self.reader.found.push(Diagnostic::new(at, message));
    }

    // Below, every key is read before any is missed, so that all mistakes are told.

    fn value(&mut self) -> Option<Predicate> {
        let (model, dataset) = (self.model("model"), self.word("dataset", Word::Dataset));
        let (table, values) = (self.table(), self.values());
        Some(Predicate::Value(Value { model: model?, dataset: dataset?, table: table?, values: values? }))
    }

    fn change(&mut self, is_drop: bool) -> Option<Predicate> {
        let (model, reference) = (self.model("model"), self.model(if is_drop { "from" } else { "over" }));
        let (dataset, table, values) = (self.word("dataset", Word::Dataset), self.table(), self.values());
        Some(Predicate::Change(Change {
            model: model?,
            reference: reference?,
            is_drop,
            dataset: dataset?,
            table: table?,
            values: values?,
        }))
    }

    fn best(&mut self) -> Option<Predicate> {
        let (model, than) = (self.model("model"), self.rivals());
        let except = self.any("except", Word::Model).map(|list| list.into_iter().filter_map(named).collect());
        let (datasets, metrics) = (self.any("datasets", Word::Dataset), self.any("metrics", Word::Metric));
        let table = self.table();
        let (unqualified, hedged) = (self.flag("unqualified"), self.flag("hedged"));
        Some(Predicate::Best(Best {
            model: model?,
            than: than?,
            except: except?,
            datasets: datasets?,
            metrics: metrics?,
            table: table?,
            unqualified: unqualified?,
            hedged: hedged?,
        }))
    }

    fn only_above(&mut self) -> Option<Predicate> {
        let (model, above) = (self.model("model"), self.models("above"));
        let (dataset, metric) = (self.word("dataset", Word::Dataset), self.word("metric", Word::Metric));
        let table = self.table();
        Some(Predicate::OnlyAbove(OnlyAbove {
            model: model?,
            above: above?,
            dataset: dataset?,
            metric: metric?,
            table: table?,
        }))
    }

    fn groups(&mut self) -> Option<Predicate> {
        let (above, below) = (self.words("above", Word::Group), self.words("below", Word::Group));
        let (datasets, metrics) = (self.any("datasets", Word::Dataset), self.words("metrics", Word::Metric));
        let (by_mean, hedged) = (self.flag("by_mean"), self.flag("hedged"));
        Some(Predicate::Groups(Groups {
            above: above?,
            below: below?,
            datasets: datasets?,
            metrics: metrics?,
            by_mean: by_mean?,
            hedged: hedged?,
        }))
    }

    fn falls(&mut self) -> Option<Predicate> {
        let (models, from) = (self.models("models"), self.model("from"));
        let (datasets, metrics) = (self.any("datasets", Word::Dataset), self.any("metrics", Word::Metric));
        let table = self.table();
        Some(Predicate::Falls(Falls {
            models: models?,
            from: from?,
            datasets: datasets?,
            metrics: metrics?,
            table: table?,
        }))
    }

    fn most(&mut self) -> Option<Predicate> {
        let (model, from) = (self.model("model"), self.model("from"));
        let (datasets, metric) = (self.words("datasets", Word::Dataset), self.word("metric", Word::Metric));
        let table = self.table();
        Some(Predicate::Most(Most {
            model: model?,
            from: from?,
            datasets: datasets?,
            metric: metric?,
            table: table?,
        }))
    }

    fn cheaper(&mut self) -> Option<Predicate> {
        let (model, than) = (self.model("model"), self.rivals());
        let (metrics, vague) = (self.words("metrics", Word::Metric), self.flag("vague"));
        let (than, vague) = (than?, vague?);
        if vague && !than.is_empty() {
            self.refuse(self.at, "a vague sentence names no rivals: leave out `than` or `vague`".to_owned());
            return None;
        }
        Some(Predicate::Cheaper(Cheaper { model: model?, than, metrics: metrics?, vague }))
    }

    fn costs_less(&mut self) -> Option<Predicate> {
        let (model, than) = (self.model("model"), self.models("than"));
        let node = self.require("by")?;
        let Tree::List(items) = &node.value else {
            self.reader.found.push(wrong_type("check.by", node, "a list of texts"));
            return None;
        };
        let by: Vec<Option<usize>> =
            items.iter().map(|item| self.choice("by", item, &Expense::WORDS)).collect();
        let by: Option<Vec<usize>> = by.into_iter().collect();
        let by = by?.into_iter().map(|i| [Expense::Parameters, Expense::Operations][i]).collect();
        Some(Predicate::CostsLess(CostsLess { model: model?, than: than?, by }))
    }

    fn members(&mut self) -> Option<Predicate> {
        let (group, models) = (self.word("group", Word::Group), self.models("models"));
        Some(Predicate::Members(Members { group: group?, models: models? }))
    }

    fn images(&mut self) -> Option<Predicate> {
        let dataset = self.word("dataset", Word::Dataset);
        let mut counts = Vec::new();
        for key in ["images", "train", "validation", "test"] {
            if let Some(node) = self.optional(key) {
                counts.push(self.whole(key, node).map(|count| (key, count)));
            }
        }
        let counts: Vec<(&'static str, usize)> = counts.into_iter().collect::<Option<_>>()?;
        if counts.is_empty() {
            self.refuse(self.at, "this check states none of images, train, validation, test".to_owned());
            return None;
        }
        Some(Predicate::Images(Images { dataset: self.in_table_1(dataset?)?, counts }))
    }

    fn ratio(&mut self) -> Option<Predicate> {
        let (dataset, parts) = (self.word("dataset", Word::Dataset), self.numbers("parts"));
        let parts = parts?;
        if parts.len() != 3 || parts.iter().sum::<usize>() == 0 {
            self.refuse(self.at, "`check.parts` must be three numbers: train, validation, test".to_owned());
            return None;
        }
        Some(Predicate::Ratio(Ratio { dataset: self.in_table_1(dataset?)?, parts }))
    }

    /// The mean over the datasets has no row in table 1.
    fn in_table_1(&mut self, dataset: String) -> Option<String> {
        if dataset == MEAN {
            self.refuse(self.at, format!("`{MEAN}` is the mean of the datasets and has no images"));
            return None;
        }
        Some(dataset)
    }

    fn count(&mut self) -> Option<Predicate> {
        let (node, number) = (self.require("of"), self.number("number"));
        let of = self.choice("of", node?, &Counted::WORDS)?;
        let of = [Counted::Datasets, Counted::Metrics, Counted::Models][of];
        Some(Predicate::Count(Count { of, number: number? }))
    }

    fn prints(&mut self) -> Option<Predicate> {
        let (metrics, datasets) = (self.words("metrics", Word::Metric), self.any("datasets", Word::Dataset));
        Some(Predicate::Prints(Prints { metrics: metrics?, datasets: datasets? }))
    }

    fn quantity(&mut self) -> Option<Predicate> {
        let (name, node) = (self.word("name", Word::Free), self.require("value"));
        let node = node?;
        let value = self.reader.text("check.value", node)?;
        if !value.parse::<f64>().is_ok_and(f64::is_finite) {
            self.refuse(node.at, format!("`{value}` is not a number"));
            return None;
        }
        Some(Predicate::Quantity(Quantity { name: name?, value }))
    }

    fn arithmetic(&mut self, is_product: bool) -> Option<Predicate> {
        let (total, parts) = (self.number("total"), self.numbers("parts"));
        Some(Predicate::Arithmetic(Arithmetic { total: total?, parts: parts?, is_product }))
    }

    fn measured(&mut self) -> Option<Predicate> {
        Some(Predicate::Measured(Measured { metrics: self.words("metrics", Word::Free)? }))
    }
}

fn named(text: String) -> Option<Named> {
    Named::parse(&text).ok()
}

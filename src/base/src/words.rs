//! Words that messages of every crate are made of.

/// The names that look like `wanted`, best first.
pub fn alike<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(s, _)| *s > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// ` (did you mean ...?)` with the first of the candidates; empty without one.
pub fn did_you_mean(candidates: &[String]) -> String {
    match candidates.first() {
        Some(best) => format!(" (did you mean `{best}`?)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_offered() {
        assert_eq!(alike("cvc-clinic", ["tnbc", "cvc-clinicdb"]), ["cvc-clinicdb"]);
        assert!(alike("zzz", ["tnbc", "cvc-clinicdb"]).is_empty());
    }
}

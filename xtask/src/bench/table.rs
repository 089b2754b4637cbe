//! Medians with ranges, ratios and distances, as a table or as JSON lines.

use super::bound;
use super::job::Side;
use super::limits::Limits;
use super::workload::{Kind, Measured, Workload};
use serde_json::{Map, Value, json};

/// One row's runs: who wrote, who read, and what came of it.
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) kind: Kind,
    pub(crate) runs: Vec<(Side, Side, Vec<Measured>)>,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self { median: (at(last / 2) + at(last.div_ceil(2))) / 2.0, least: at(0), most: at(last) }
    }

    fn shown(&self) -> String {
        format!("{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

impl Row {
    fn rates(&self, writer: Side, reader: Side) -> Option<Spread> {
        let (.., runs) = self.runs.iter().find(|(from, to, _)| (*from, *to) == (writer, reader))?;
        let rates: Vec<f64> = runs.iter().map(|run| run.operations / run.seconds).collect();
        Some(Spread::of(&rates))
    }

    /// Our rate over the npm stack's.
    fn ratio(&self) -> Option<f64> {
        Some(self.rates(Side::Ours, Side::Ours)?.median / self.rates(Side::Npm, Side::Npm)?.median)
    }

    /// How many times as long as the machine's limits force an operation takes us.
    fn distance(&self, limits: &Limits) -> Option<f64> {
        let each = 1.0 / self.rates(Side::Ours, Side::Ours)?.median;
        Some(each / bound::seconds(&self.kind, limits))
    }

    fn most_memory(&self, side: Side) -> f64 {
        let of_side = self.runs.iter().filter(|(from, to, _)| (*from, *to) == (side, side));
        of_side.flat_map(|(.., runs)| runs).map(|run| run.usage.memory).fold(0.0, f64::max)
    }

    /// A figure of the runs of one stack alone.
    fn figure(&self, side: Side, name: &str) -> Option<Spread> {
        let (.., runs) = self.runs.iter().find(|(from, to, _)| (*from, *to) == (side, side))?;
        let of = |run: &Measured| match name {
            "rss_mb" => Some(run.usage.memory),
            "ms" => Some(run.seconds / run.operations * 1000.0),
            _ => run.more.iter().find(|(of, _)| *of == name).map(|(_, figure)| *figure),
        };
        Some(Spread::of(&runs.iter().filter_map(of).collect::<Vec<_>>()))
    }

    fn title(&self) -> String {
        format!("{}: {}", self.workload.name, self.workload.what)
    }

    fn cpu(&self, side: Side) -> Option<f64> {
        let (.., runs) = self.runs.iter().find(|(from, to, _)| (*from, *to) == (side, side))?;
        let each: Vec<f64> = runs.iter().map(|run| run.usage.cpu / run.operations * 1e6).collect();
        Some(Spread::of(&each).median)
    }
}

/// Prints the table.
pub(crate) fn print(rows: &[Row], limits: &Limits) {
    println!(
        "\n| workload | ours, per s | npm, per s | ratio | goal | x the bound | CPU us each, ours / npm | peak MB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let rate = |side| row.rates(side, side).map_or(String::new(), |spread| spread.shown());
        let number = |figure: Option<f64>| figure.map_or(String::new(), short);
        println!(
            "| {} | {} | {} | {} | {} | {} | {} / {} | {} / {} |",
            row.title(),
            rate(Side::Ours),
            rate(Side::Npm),
            number(row.ratio()),
            number(row.workload.goal),
            number(row.distance(limits)),
            number(row.cpu(Side::Ours)),
            number(row.cpu(Side::Npm)),
            short(row.most_memory(Side::Ours)),
            short(row.most_memory(Side::Npm)),
        );
    }
    print_most(rows);
    print_mixed(rows);
    println!("\n| limit of this machine | bytes | per s | MB/s |");
    println!("| --- | --- | --- | --- |");
    for (limit, size, each) in limits.all() {
        let rates: Vec<f64> = each.iter().map(|seconds| 1.0 / seconds).collect();
        let spread = Spread::of(&rates);
        let sized = !matches!(limit, "sign" | "verify" | "pingpong");
        let bytes = if sized { short(spread.median * super::workload::float(size) / 1e6) } else { String::new() };
        println!("| {limit} | {size} | {} | {bytes} |", spread.shown());
    }
}

/// Figures that have a goal of their own: milliseconds and megabytes, the smaller the better.
fn print_most(rows: &[Row]) {
    println!("\n| workload | figure | ours | npm | at most |");
    println!("| --- | --- | --- | --- | --- |");
    for row in rows {
        for (figure, most) in row.workload.most {
            let shown = |side| row.figure(side, figure).map_or(String::new(), |spread| spread.shown());
            println!("| {} | {figure} | {} | {} | {most} |", row.title(), shown(Side::Ours), shown(Side::Npm));
        }
    }
}

/// Runs with one side each: the npm side is the cap, so our side's CPU time is what tells.
fn print_mixed(rows: &[Row]) {
    println!("\n| workload, writer → reader | per s | to npm → npm | CPU us each, writer / reader |");
    println!("| --- | --- | --- | --- |");
    for row in rows {
        for (writer, reader, runs) in row.runs.iter().filter(|(writer, reader, _)| writer != reader) {
            let Some(rates) = row.rates(*writer, *reader) else { continue };
            let npm = row.rates(Side::Npm, Side::Npm).map_or(f64::NAN, |npm| npm.median);
            let cpu = |name: &str| {
                let of = |run: &Measured| Some(run.more.iter().find(|(of, _)| *of == name)?.1 / run.operations * 1e6);
                Spread::of(&runs.iter().filter_map(of).collect::<Vec<_>>()).median
            };
            println!(
                "| {}, {} → {} | {} | {} | {} / {} |",
                row.title(),
                writer.name(),
                reader.name(),
                rates.shown(),
                short(rates.median / npm),
                short(cpu("writer_cpu_s")),
                short(cpu("reader_cpu_s")),
            );
        }
    }
}

/// One run as a JSON line.
pub(crate) fn line(workload: &Workload, kind: &Kind, sides: (Side, Side), round: usize, run: &Measured) -> Value {
    let mut fields = Map::new();
    fields.extend(run.more.iter().map(|(name, figure)| ((*name).to_owned(), json!(figure))));
    json!({
        "workload": workload.name, "what": workload.what, "parameters": format!("{kind:?}"),
        "writer": sides.0.name(), "reader": sides.1.name(), "round": round,
        "operations": run.operations, "seconds": run.seconds, "per_s": run.operations / run.seconds,
        "cpu_s": run.usage.cpu, "rss_peak_mb": run.usage.memory, "digest": run.digest, "more": fields,
    })
}

/// Three figures are enough.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        size if !size.is_finite() => String::new(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]).shown(), "2.00 (1.00–3.00)");
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).shown(), "2.50 (1.00–4.00)");
        assert_eq!(Spread::of(&[]).shown(), " (–)");
    }
}

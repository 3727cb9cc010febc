use super::{CategoryResults, Metric, Published, UFLOW, Unit, compare, compare_all, lookup, paper, read, tables};

const MVTEC: [&str; 15] = [
    "carpet",
    "grid",
    "leather",
    "tile",
    "wood",
    "bottle",
    "cable",
    "capsule",
    "hazelnut",
    "metal_nut",
    "pill",
    "screw",
    "toothbrush",
    "transistor",
    "zipper",
];
const OTHERS: [&str; 5] = ["LGG MRI", "STC", "BT01", "BT02", "BT03"];

fn value(category: &str, table: u8, method: &str, metric: Metric) -> Option<f64> {
    let published = lookup(category).unwrap();
    let is = |cell: &&Published| (cell.table, cell.method, cell.metric) == (table, method, metric);
    published.iter().find(is).map(|cell| cell.value)
}

#[test]
fn tables_hold_every_category_of_their_data_sets() {
    let numbers: Vec<u8> = tables().unwrap().iter().map(|table| table.number).collect();
    assert_eq!(numbers, [1, 2, 3, 5, 7, 8]);
    for table in tables().unwrap() {
        let names: &[&str] = if matches!(table.number, 5 | 8) { &OTHERS } else { &MVTEC };
        for name in names {
            let cells = lookup(name).unwrap().into_iter().filter(|cell| cell.table == table.number);
            let (ours, rivals): (Vec<_>, Vec<_>) = cells.partition(|cell| cell.method == UFLOW);
            let expected = match table.number {
                1 | 7 => (1, 0),
                2 => (1, 6),
                3 => (2, 0),
                5 => (4, 12),
                _ => (1, 3),
            };
            assert_eq!((ours.len(), rivals.len()), expected, "table {}, {name}", table.number);
        }
        assert!(table.lines[0] < table.lines[1] && !table.notes.is_empty());
    }
}

#[test]
fn averages_follow_from_the_columns() {
    let paper = paper().unwrap();
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (table, series) in paper.tables.iter().flat_map(|table| table.series.iter().map(move |series| (table, series)))
    {
        let of = |name: &str| series.values[table.rows.iter().position(|row| row == name).unwrap()];
        for average in paper.averages.iter().filter(|average| table.rows.contains(&average.name)) {
            let mean = average.of.iter().map(|name| of(name)).sum::<f64>() / average.of.len() as f64;
            compared += 1;
            if (mean - of(&average.name)).abs() > 0.5e-4 + 1e-9 {
                wrong.push((table.number, series.method.as_str(), average.name.as_str()));
            }
        }
    }
    assert_eq!(compared, 3 + 7 * 3 + 2 * 3 + 16 + 3 + 4);
    // The paper's own slip, told in the notes of Table 2.
    assert_eq!(wrong, [(2, "FastFlow", "MVTec AD objects"), (2, "FastFlow", "MVTec AD")]);
}

#[test]
fn results_that_the_text_states_are_the_ones_kept() {
    assert_eq!(value("MVTec AD", 1, UFLOW, Metric::PixelAuroc), Some(0.9874), "the abstract");
    assert_eq!(value("MVTec AD", 3, UFLOW, Metric::MiouNfa).map(|miou| (miou * 1e3).round()), Some(541.0), "§4.1.1");
    // §4.1: second of all, first of the flow-based.
    let total = lookup("MVTec AD").unwrap();
    let aupro = total.iter().filter(|cell| cell.table == 2);
    let ours = value("MVTec AD", 2, UFLOW, Metric::Aupro).unwrap();
    let better: Vec<&str> = aupro.filter(|cell| cell.value > ours).map(|cell| cell.method).collect();
    assert_eq!(better, ["PEFM"]);
    // Appendix A: first on LGG MRI, and on BeanTech on average.
    for category in ["LGG MRI", "BTAD"] {
        let cells = lookup(category).unwrap();
        let best = cells.iter().filter(|cell| cell.table == 8).max_by(|a, b| a.value.total_cmp(&b.value));
        assert_eq!(best.map(|cell| cell.method), Some(UFLOW), "{category}");
    }
    // §4.1.1: the oracle's and the automatic threshold's results are very close.
    for category in MVTEC {
        let [nfa, oracle] =
            [Metric::MiouNfa, Metric::MiouOracle].map(|metric| value(category, 3, UFLOW, metric).unwrap());
        assert!(nfa <= oracle && oracle - nfa < 0.02, "{category}");
    }
}

#[test]
fn values_are_fractions_of_four_digits() {
    assert_eq!(value("screw", 1, UFLOW, Metric::PixelAuroc), Some(0.9949));
    assert_eq!(value("zipper", 2, "CS-Flow", Metric::Aupro), Some(0.8584));
    assert_eq!(value("transistor", 3, UFLOW, Metric::MiouOracle), Some(0.7381));
    assert_eq!(value("STC", 5, "CFlow", Metric::MiouFair), Some(0.4831));
    assert_eq!(value("bottle", 7, UFLOW, Metric::ImageAuroc), Some(1.0));
    assert_eq!(value("LGG MRI", 8, "FastFlow", Metric::ImageAuroc), Some(0.6149));
    for series in tables().unwrap().iter().flat_map(|table| &table.series) {
        let miou = matches!(series.metric, Metric::MiouNfa | Metric::MiouOracle | Metric::MiouFair);
        assert_eq!(series.printed_in == Unit::Fraction, miou);
        for value in &series.values {
            assert!((0.1..=1.0).contains(value) && format!("{value}").len() <= 6, "{value}");
        }
    }
}

#[test]
fn uflow_has_no_result_at_a_fair_threshold() {
    let fair =
        tables().unwrap().iter().flat_map(|table| &table.series).filter(|series| series.metric == Metric::MiouFair);
    let methods: Vec<&str> = fair.map(|series| series.method.as_str()).collect();
    assert_eq!(methods, ["FastFlow", "CFlow", "CS-Flow"]);
}

#[test]
fn names_are_matched_whatever_their_case_and_separators() {
    let paper = paper().unwrap();
    for (name, expected) in [
        ("metal_nut", "metal_nut"),
        ("Metal nut", "metal_nut"),
        ("METAL-NUT", "metal_nut"),
        ("Hazle Nut", "hazelnut"),
        ("01", "BT01"),
        ("bt_03", "BT03"),
        ("BTAD 02", "BT02"),
        ("lgg-mri", "LGG MRI"),
        ("stc", "STC"),
        ("ShanghaiTech", "STC"),
        ("mvtec_ad", "MVTec AD"),
        ("BTech_Dataset_transformed", "BTAD"),
    ] {
        assert_eq!(paper.name_of(name), Some(expected), "{name}");
        assert!(!lookup(name).unwrap().is_empty(), "{name}");
    }
    // Categories of VisA, LOCO and MVTec AD 2 that come close, and nothing at all.
    for name in ["capsules", "juice_bottle", "screw_bag", "sheet_metal", "1", "04", "", "-"] {
        assert_eq!(lookup(name).unwrap(), [], "{name}");
    }
}

#[test]
fn no_name_means_two_things() {
    let paper = paper().unwrap();
    let categories = paper.categories.iter().map(|each| (&each.name, &each.aliases));
    let names = categories.chain(paper.averages.iter().map(|each| (&each.name, &each.aliases)));
    for (name, aliases) in names {
        for alias in aliases.iter().chain([name]) {
            assert_eq!(paper.name_of(alias), Some(name.as_str()), "{alias}");
        }
    }
}

#[test]
fn a_run_stands_beside_the_same_metric() {
    let figures =
        [(Metric::PixelAuroc, 0.98), (Metric::Aupro, f64::NAN), (Metric::MiouFair, 0.5), (Metric::MiouNfa, 0.7)];
    let comparison = compare("bottle", &figures).unwrap();
    let rows: Vec<_> = comparison.rows.iter().map(|row| (row.table, row.metric, row.paper, row.ours)).collect();
    assert_eq!(
        rows,
        [
            (1, Metric::PixelAuroc, Some(0.9865), Some(0.98)),
            (2, Metric::Aupro, Some(0.9564), None),
            (3, Metric::MiouOracle, Some(0.6617), None),
            (3, Metric::MiouNfa, Some(0.6564), Some(0.7)),
            (7, Metric::ImageAuroc, Some(1.0), None),
        ]
    );
    assert!((comparison.rows[0].difference.unwrap() + 0.0065).abs() < 1e-9);
    assert_eq!(comparison.rows[1].difference, None);
    let rivals: Vec<&str> = comparison.rows[1].rivals.iter().map(|rival| rival.method).collect();
    assert_eq!(rivals, ["SPADE", "PaDiM", "PEFM", "FastFlow", "CFlow", "CS-Flow"]);
}

#[test]
fn a_fair_threshold_stands_beside_the_rivals_alone() {
    let comparison = compare("01", &[(Metric::MiouFair, 0.5)]).unwrap();
    let row = comparison.rows.iter().find(|row| row.metric == Metric::MiouFair).unwrap();
    assert_eq!((row.category, row.paper, row.ours, row.difference), ("BT01", None, Some(0.5), None));
    assert_eq!(row.rivals.len(), 3);
}

#[test]
fn averages_are_compared_where_runs_cover_them() {
    let figures: [[(Metric, f64); 2]; 3] =
        [0.9, 0.8, 0.4].map(|value| [(Metric::ImageAuroc, value), (Metric::Aupro, value / 2.0)]);
    let run = |index: usize, category| CategoryResults { category, figures: &figures[index] };
    let part = compare_all(&[run(0, "01"), run(1, "02")]).unwrap();
    assert!(part.rows.iter().all(|row| row.category != "BTAD"));

    let without = [(Metric::ImageAuroc, 0.4)];
    let third = CategoryResults { category: "BT03", figures: &without };
    let all = compare_all(&[run(0, "01"), run(1, "02"), third]).unwrap();
    let of = |metric| all.rows.iter().find(|row| row.category == "BTAD" && row.metric == metric).unwrap();
    assert!((of(Metric::ImageAuroc).ours.unwrap() - 0.7).abs() < 1e-12);
    assert_eq!(of(Metric::ImageAuroc).paper, Some(0.9595));
    assert_eq!(of(Metric::Aupro).ours, None, "one of the three lacks it");

    let named = compare_all(&[run(0, "01"), run(1, "02"), run(2, "03"), run(0, "BTAD")]).unwrap();
    let averages: Vec<_> = named.rows.iter().filter(|row| (row.category, row.table) == ("BTAD", 8)).collect();
    assert_eq!(averages.len(), 1, "a run of its own comes before the mean");
    assert_eq!(averages[0].ours, Some(0.9));
}

#[test]
fn a_terminal_gets_an_aligned_table_of_at_most_100_columns() {
    let comparison = compare_all(&[
        CategoryResults { category: "Metal nut", figures: &[(Metric::PixelAuroc, 0.99)] },
        CategoryResults { category: "pcb1", figures: &[] },
    ])
    .unwrap();
    let shown = comparison.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[..12],
        [
            "category   table  metric          paper  this run  difference   SPADE   PaDiM    PEFM  FastFlow",
            "metal_nut      1  pixel AUROC    0.9882    0.9900     +0.0018       –       –       –         –",
            "               2  AUPRO          0.9432         –           –  0.9440  0.8560  0.9388    0.9105",
            "               3  mIoU, oracle   0.6307         –           –       –       –       –         –",
            "               3  mIoU, NFA = 1  0.6267         –           –       –       –       –         –",
            "               7  image AUROC    1.0000         –           –       –       –       –         –",
            "category   table  metric          CFlow  CS-Flow",
            "metal_nut      1  pixel AUROC         –        –",
            "               2  AUPRO          0.9165   0.7693",
            "               3  mIoU, oracle        –        –",
            "               3  mIoU, NFA = 1       –        –",
            "               7  image AUROC         –        –",
        ]
    );
    assert_eq!(lines[12], "the paper has no results for `pcb1`");
    assert!(lines[13].starts_with("Table 3: ") && lines[13].contains("log10 NFA map"));
    assert!(lines[15].starts_with("the paper: Matías Tailanian") && lines[15].ends_with("arXiv:2211.12353"));
    assert_eq!(lines.len(), 16);
}

#[test]
fn a_page_gets_markdown() {
    let markdown = compare("STC", &[(Metric::ImageAuroc, 0.7)]).unwrap().markdown();
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "| category | table | metric | paper | this run | difference | FastFlow | CFlow | CS-Flow |",
            "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
    );
    assert!(lines.contains(&"| STC | 8 | image AUROC | 0.6459 | 0.7000 | +0.0541 | 0.7404 | 0.6639 | 0.9846 |"));
    assert!(lines.contains(&"| STC | 5 | mIoU, fair | – | – | – | 0.4703 | 0.4831 | 0.4211 |"));
    let blank = lines.iter().position(|line| line.is_empty()).unwrap();
    assert!(lines[blank + 1..].iter().all(|line| line.starts_with("- ")));
}

#[test]
fn an_unknown_category_gets_a_sentence_instead_of_a_table() {
    let comparison = compare("candle", &[(Metric::PixelAuroc, 0.9)]).unwrap();
    assert!(comparison.is_empty() && comparison.notes.is_empty());
    assert!(comparison.to_string().starts_with("the paper has no results for `candle`\nthe paper: "));
    assert!(comparison.markdown().starts_with("- the paper has no results for `candle`\n"));
}

#[test]
fn json_names_metrics_as_the_evaluation_does() {
    let json = serde_json::to_value(compare("grid", &[(Metric::Aupro, 0.9)]).unwrap()).unwrap();
    let row = &json["rows"][1];
    assert_eq!(
        (&row["metric"], &row["table"], &row["paper"], &row["ours"]),
        (&"aupro".into(), &2.into(), &0.9546.into(), &0.9.into())
    );
    assert_eq!(row["rivals"][0], serde_json::json!({ "method": "SPADE", "value": 0.867 }));
    assert!(json["rows"][0]["ours"].is_null());
    let names = Metric::ALL.map(|metric| serde_json::to_value(metric).unwrap());
    assert_eq!(names, ["pixel_auroc", "image_auroc", "aupro", "miou_nfa", "miou_oracle", "miou_fair"]);
}

#[test]
fn data_that_break_an_invariant_are_refused() {
    let original: serde_json::Value = serde_json::from_str(super::DATA).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut data = original.clone();
        change(&mut data);
        read(&data.to_string()).unwrap_err()
    };
    let short = refused(&|data| drop(data["tables"][1]["series"][2]["values"].as_array_mut().unwrap().pop()));
    assert_eq!(short, "table 2: PaDiM, AUPRO: 17 values for 18 rows");
    let large = refused(&|data| data["tables"][0]["series"][0]["values"][3] = 101.0.into());
    assert_eq!(large, "table 1: U-Flow, pixel AUROC: 1.01 is not a fraction in 0..=1");
    let row = refused(&|data| data["tables"][3]["rows"][0] = "Hazelnut".into());
    assert_eq!(row, "table 5: `Hazelnut` is neither a category nor an average");
    let member = refused(&|data| data["averages"][3]["of"][1] = "BT04".into());
    assert_eq!(member, "BTAD: `BT04` is not a category");
    assert!(read("{}").unwrap_err().contains("missing field"));
}

//! The page's text: from a [`Report`] to HTML. All values are escaped when they are inserted.

use std::fmt::Write as _;

use super::{
    Figure, Note, Report, Shown, Tile,
    research::appendix,
    section::{facts, figure, section, summary},
    text::escape,
};
use crate::Result;

pub(super) fn page(report: &Report) -> Result<String> {
    let mut content = String::from("<main>\n");
    header(&mut content, report);
    summary(&mut content, &report.models);
    for model in &report.models {
        section(&mut content, model)?;
    }
    for note in &report.notes {
        write_note(&mut content, note)?;
    }
    appendix(&mut content, &report.models);
    footer(&mut content, report);
    content += "</main>";
    let page = include_str!("page.html").replace("{{style}}", include_str!("report.css"));
    Ok(page.replace("{{title}}", &escape(&report.title)).replace("{{content}}", &content))
}

fn write_note(out: &mut String, note: &Note) -> Result<()> {
    let _ = write!(out, "<section><h2>{}</h2>\n<p>{}</p>", escape(&note.title), escape(&note.text));
    facts(out, note.facts.iter().cloned());
    *out += if note.pictures.is_empty() { "" } else { "<div class=\"gallery\">" };
    for Figure { picture, title, text } in &note.pictures {
        figure(out, picture, title, &format!("<b>{}</b><br>{}", escape(title), escape(text)))?;
    }
    *out += if note.pictures.is_empty() { "" } else { "</div>\n" };
    let list = if note.pictures.is_empty() { "" } else { " class=\"list\"" };
    for (index, row) in note.table.iter().enumerate() {
        *out += &if index == 0 { format!("<div class=\"scroll\"><table{list}><thead>") } else { String::new() };
        let cell = if index == 0 { "th" } else { "td" };
        *out += "<tr>";
        row.iter().for_each(|text| *out += &format!("<{cell}>{}</{cell}>", escape(text)));
        *out += if index == 0 { "</tr></thead><tbody>" } else { "</tr>" };
    }
    *out += if note.table.is_empty() { "" } else { "</tbody></table></div>\n" };
    note.remarks.iter().for_each(|remark| *out += &format!("<p class=\"key\">{}</p>\n", escape(remark)));
    for shown in &note.gallery {
        write_shown(out, shown)?;
    }
    *out += "</section>\n";
    Ok(())
}

fn write_shown(out: &mut String, Shown { title, lines, pictures }: &Shown) -> Result<()> {
    let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
    let _ = write!(
        out,
        "<div class=\"case captioned\"><div class=\"what\"><b>{}</b><small>{}</small></div>",
        escape(title),
        lines.join("<br>")
    );
    for (caption, picture) in pictures {
        figure(out, picture, &format!("{caption} of {title}"), &escape(caption))?;
    }
    *out += "</div>\n";
    Ok(())
}

fn header(out: &mut String, report: &Report) {
    let (title, lead) = (escape(&report.title), escape(&report.lead));
    let _ = write!(out, "<h1>{title}</h1>\n<p class=\"lead\">{lead}</p>\n<div class=\"tiles\">");
    for Tile { value, name, .. } in &report.tiles {
        let _ = write!(out, "<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    }
    *out += "</div>\n";
    let explained: Vec<&Tile> = report.tiles.iter().filter(|tile| !tile.meaning.is_empty()).collect();
    if explained.is_empty() {
        return;
    }
    *out += "<section><h2>What do these numbers mean?</h2>\n<dl class=\"meanings\">";
    for Tile { value, name, meaning } in explained {
        let _ = write!(out, "<dt><b>{}</b> {}</dt><dd>{}</dd>", escape(value), escape(name), escape(meaning));
    }
    *out += "</dl></section>\n";
}

fn footer(out: &mut String, report: &Report) {
    let machine = &report.machine;
    let memory = machine.memory_gib.map_or_else(String::new, |gib| format!(", {gib:.0} GiB"));
    *out += "<section><h2>How this was made</h2><h3>Machine and build</h3>";
    let own = [
        ("processor".to_owned(), format!("{}, {} threads{memory}", machine.processor, machine.threads)),
        ("system".to_owned(), machine.system.clone()),
        ("uflow".to_owned(), machine.version.clone()),
        ("date".to_owned(), machine.date.clone()),
        ("wall-clock time".to_owned(), format!("{:.1} s in total", report.seconds)),
    ];
    facts(out, own.into_iter().chain(report.engine.iter().cloned()));
    let _ = write!(out, "</section>\n<footer><p>{}</p></footer>\n", escape(&report.closing));
}

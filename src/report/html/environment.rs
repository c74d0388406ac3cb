use super::write::Writer;
use crate::{facts, shown, words};
use netsonde_contract::document::Document;
use netsonde_contract::observation::Fact;

pub(super) fn write(html: &mut Writer, document: &Document) {
    html.pairs(&words::environment(document));
    let observations = shown::all(document);
    let own: Vec<String> = observations
        .filter(|observation| {
            use Fact::{Clock, Interface, Proxies, Resolvers, Route};
            matches!(observation.fact, Interface(_) | Route(_) | Resolvers(_) | Proxies(_) | Clock(_))
        })
        .map(|observation| facts::line(&observation.fact))
        .collect();
    // Each target's check reads the machine anew and mostly finds the same.
    let mut seen = std::collections::HashSet::new();
    let own: Vec<String> = own.into_iter().filter(|line| seen.insert(line.clone())).collect();
    if !own.is_empty() {
        html.element("ul", &[], |html| own.iter().for_each(|line| html.leaf("li", &[], line)));
    }
}

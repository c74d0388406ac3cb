use super::Order;
use crate::set::{Plan, ProbeSet, ProxyAddress, Request};
use std::collections::BTreeMap;

/// What a schedule runs besides, at once, for a target that becomes failing. It is part of what was signed, and whoever judges the order judges it as if it were all of it.
#[derive(Clone, Debug)]
pub struct Deep {
    pub set: ProbeSet,
    pub plan: Plan,
}

impl Deep {
    /// Of an order that has one, for some of its targets, within the bytes that the order asks for. `proxies` are the machine's own on the way to them.
    ///
    /// # Errors
    /// Where the set cannot be read, or the targets do not fit it, in words.
    pub fn of(
        order: &Order,
        targets: &[String],
        proxies: impl FnOnce(&ProbeSet) -> BTreeMap<String, ProxyAddress>,
    ) -> Result<Option<Self>, String> {
        let Some(text) = order.deep.as_deref() else { return Ok(None) };
        let Self { set, plan } = Self::parse(text, targets, &order.parameters, proxies)?;
        Ok(Some(Self { set, plan: plan.of_at_most(order.bytes) }))
    }

    /// The same of a set's text, before it is an order's.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn parse(
        text: &str,
        targets: &[String],
        parameters: &BTreeMap<String, String>,
        proxies: impl FnOnce(&ProbeSet) -> BTreeMap<String, ProxyAddress>,
    ) -> Result<Self, String> {
        let named = |what: String| format!("the deep set: {what}");
        let set = ProbeSet::parse("the order's deep set", text).map_err(|error| named(error.to_string()))?;
        // Another set than the schedule's own has parameters of its own.
        let own = |name: &String| set.parameters.iter().any(|parameter| parameter.name == *name);
        let parameters = parameters.iter().filter(|(name, _)| own(name));
        let request = Request {
            proxies: proxies(&set),
            targets: targets.to_vec(),
            parameters: parameters.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Request::default()
        };
        let plan = set.plan(&request).map_err(|error| named(error.to_string()))?;
        Ok(Self { set, plan })
    }
}

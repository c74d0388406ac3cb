//! Proxies by WinHTTP: what services use by default, what the user has set, and what a script says for one URL.

use super::wide::{text_at, wide};
use std::io;
use std::time::Duration;
use windows_sys::Win32::Foundation::GlobalFree;
use windows_sys::Win32::Networking::WinHttp::{
    WINHTTP_ACCESS_TYPE_NAMED_PROXY, WINHTTP_ACCESS_TYPE_NO_PROXY, WINHTTP_AUTOPROXY_CONFIG_URL, WINHTTP_AUTOPROXY_OPTIONS,
    WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO, WinHttpCloseHandle, WinHttpGetDefaultProxyConfiguration,
    WinHttpGetIEProxyConfigForCurrentUser, WinHttpGetProxyForUrl, WinHttpOpen, WinHttpSetTimeouts,
};

/// What is set in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxyConfiguration {
    /// The proxy of all schemes, or `http=proxy:80;https=proxy:80`.
    pub(crate) proxy: Option<String>,
    pub(crate) bypass: Option<String>,
    /// A script that chooses.
    pub(crate) script: Option<String>,
    /// The user's programs look for such a script by DHCP and DNS.
    pub(crate) detects: bool,
}

/// What services use (`netsh winhttp show proxy`).
pub(crate) fn of_services() -> Option<ProxyConfiguration> {
    let mut found = WINHTTP_PROXY_INFO::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: the system fills the structure with null or with texts that it allotted, which `taken` gives back.
    unsafe {
        (WinHttpGetDefaultProxyConfiguration(&raw mut found) != 0).then(|| info(&found))
    }
}

/// What the user that runs the process has set; a service's own account has set nothing.
pub(crate) fn of_user() -> Option<ProxyConfiguration> {
    let mut found = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: as above.
    unsafe {
        (WinHttpGetIEProxyConfigForCurrentUser(&raw mut found) != 0).then(|| ProxyConfiguration {
            proxy: taken(found.lpszProxy),
            bypass: taken(found.lpszProxyBypass),
            script: taken(found.lpszAutoConfigUrl),
            detects: found.fAutoDetect != 0,
        })
    }
}

/// What the script says for `url`: the proxies in their order, or nothing for none. Blocks; the system fetches the script.
///
/// # Errors
/// The system's own, such as 12167 where it cannot fetch the script and 12166 where the script is wrong.
pub(crate) fn by_script(script: &str, url: &str, patience: Duration) -> io::Result<Option<String>> {
    let (agent, script, url) = (wide("netsonde"), wide(script), wide(url));
    let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    let mut options = WINHTTP_AUTOPROXY_OPTIONS {
        dwFlags: WINHTTP_AUTOPROXY_CONFIG_URL,
        lpszAutoConfigUrl: script.as_ptr(),
        ..Default::default()
    };
    let mut found = WINHTTP_PROXY_INFO::default();
    #[expect(unsafe_code, reason = "the interface is one of C")]
    // SAFETY: all texts end in a zero and outlive the session, which is closed here; the result's texts are given back by `info`.
    unsafe {
        let session = WinHttpOpen(agent.as_ptr(), WINHTTP_ACCESS_TYPE_NO_PROXY, std::ptr::null(), std::ptr::null(), 0);
        if session.is_null() {
            return Err(io::Error::last_os_error());
        }
        WinHttpSetTimeouts(session, milliseconds, milliseconds, milliseconds, milliseconds);
        let told = WinHttpGetProxyForUrl(session, url.as_ptr(), &raw mut options, &raw mut found);
        let error = io::Error::last_os_error();
        WinHttpCloseHandle(session);
        if told == 0 { Err(error) } else { Ok(info(&found).proxy) }
    }
}

/// # Safety
/// The texts are null or were allotted by WinHTTP, and nobody else gives them back.
#[expect(unsafe_code, reason = "the interface is one of C")]
unsafe fn info(found: &WINHTTP_PROXY_INFO) -> ProxyConfiguration {
    // SAFETY: the caller vouches for the texts.
    let (proxy, bypass) = unsafe { (taken(found.lpszProxy), taken(found.lpszProxyBypass)) };
    ProxyConfiguration {
        proxy: proxy.filter(|_| found.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY),
        bypass,
        ..ProxyConfiguration::default()
    }
}

/// A text, which is given back; none where it is empty.
///
/// # Safety
/// As for [`info`].
#[expect(unsafe_code, reason = "the interface is one of C")]
unsafe fn taken(text: *mut u16) -> Option<String> {
    // SAFETY: the caller vouches for the text.
    unsafe {
        let found = text_at(text);
        if !text.is_null() {
            GlobalFree(text.cast());
        }
        found.filter(|text| !text.trim().is_empty())
    }
}

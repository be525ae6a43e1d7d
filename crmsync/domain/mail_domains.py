"""Mail domains shared by many companies: an address there does not identify a customer."""

from __future__ import annotations

# Brands that have a domain in many countries: gmx.de, gmx.net, yahoo.co.uk, hotmail.fr.
_BRANDS = frozenset(
    "aol free gmail gmx googlemail hotmail icloud laposte live msn naver online outlook proton protonmail qq"
    " rocketmail sapo seznam tutanota ukr virgilio wanadoo yahoo yandex ymail zoho zohomail".split()
)
_DOMAINS = frozenset(
    """
    126.com 163.com abv.bg aim.com alice.it aon.at arcor.de att.net bellsouth.net bigpond.com bluewin.ch bol.com.br
    btinternet.com centrum.cz charter.net chello.at citromail.hu comcast.net cox.net daum.net docomo.ne.jp duck.com
    earthlink.net email.com email.cz email.de fastmail.com fastmail.fm foxmail.com freemail.hu freenet.de gmx.at
    gmx.ch hanmail.net hey.com hispeed.ch home.nl hushmail.com inbox.com inbox.ru interia.pl kpnmail.nl libero.it
    list.ru mac.com mail.com mail.de mail.ru mailbox.org me.com netcologne.de neuf.fr ntlworld.com o2.pl onet.pl op.pl
    orange.fr passport.com pm.me posteo.de posteo.net rambler.ru rediffmail.com rogers.com sbcglobal.net sfr.fr
    shaw.ca sina.com sky.com skynet.be sohu.com sympatico.ca t-online.de talktalk.net telenet.be terra.com.br
    tiscali.it tuta.com tuta.io uol.com.br verizon.net vodafone.de web.de wp.pl xs4all.nl yeah.net ziggo.nl
    """.split()
)
_SHARED = frozenset({"co", "com", "ne", "net", "org"})  # of "co.uk" and "com.br"


def is_freemail(email: str) -> bool:
    """Whether anybody may have an address like this one.

    >>> [is_freemail(f"ida@{domain}") for domain in ("GMX.net", "mail.yahoo.co.uk", "acme.test", "online.ibm.com")]
    [True, True, False, False]
    """
    labels = email.strip().rpartition("@")[2].rstrip(".>").lower().split(".")
    return any(_is_anybodys(labels[place:]) for place in range(len(labels) - 1))  # mail.gmail.com is gmail.com's


def _is_anybodys(labels: list[str]) -> bool:
    brand, *suffix = labels
    is_plain = len(suffix[-1]) <= 3 and (len(suffix) == 1 or (len(suffix) == 2 and suffix[0] in _SHARED))
    return ".".join(labels) in _DOMAINS or (brand in _BRANDS and is_plain)

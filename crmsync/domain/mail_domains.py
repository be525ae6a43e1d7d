"""Mail domains that belong to nobody's company: an address there says nothing about whose customer it is."""

from __future__ import annotations

# Brands that have a domain in many countries: gmx.de, gmx.net, yahoo.co.uk, hotmail.fr.
_BRANDS = frozenset(
    "aol free gmail gmx googlemail hotmail icloud laposte live msn naver online outlook proton protonmail qq"
    " rocketmail sapo seznam tutanota ukr virgilio wanadoo yahoo yandex ymail zoho zohomail".split()
)
_DOMAINS = frozenset(
    """
    126.com 163.com abv.bg alice.it arcor.de att.net bellsouth.net bigpond.com bluewin.ch bol.com.br btinternet.com
    charter.net comcast.net cox.net daum.net email.com email.de fastmail.com fastmail.fm foxmail.com freenet.de
    gmx.at gmx.ch hanmail.net hey.com hispeed.ch home.nl hushmail.com inbox.com inbox.ru interia.pl kpnmail.nl
    libero.it list.ru mac.com mail.com mail.de mail.ru mailbox.org me.com netcologne.de neuf.fr ntlworld.com o2.pl
    onet.pl op.pl orange.fr passport.com pm.me posteo.de posteo.net rambler.ru rediffmail.com rogers.com
    sbcglobal.net sfr.fr shaw.ca sina.com skynet.be sky.com sohu.com sympatico.ca t-online.de talktalk.net telenet.be
    terra.com.br tiscali.it tuta.com tuta.io uol.com.br verizon.net vodafone.de web.de wp.pl xs4all.nl yeah.net
    ziggo.nl
    """.split()
)
_LONGEST_SUFFIX = 3  # "com", "de"; of "co.uk" and "com.br" both parts


def is_freemail(email: str) -> bool:
    """Whether anybody may have an address like this one.

    >>> is_freemail("ida@GMX.net"), is_freemail("ida@yahoo.co.uk"), is_freemail("ida@acme.test")
    (True, True, False)
    """
    domain = email.strip().rpartition("@")[2].rstrip(".").lower()
    brand, _, suffix = domain.partition(".")
    parts = suffix.split(".")
    is_plain = len(parts) <= 2 and all(0 < len(part) <= _LONGEST_SUFFIX for part in parts)
    return domain in _DOMAINS or (brand in _BRANDS and is_plain)
